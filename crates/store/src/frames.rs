//! Decoded frames, each decoded once however many threads want it.

use crate::StoreError;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many are kept. Images that grew by many releases are spread over many packs, each of which is
/// read from front to back: there must be room for the current frame of each.
const KEPT_FRAMES: usize = 64;

/// Number of the pack, number of the frame in it.
pub type FrameKey = (u32, u32);
/// What a frame decodes to, once somebody has decoded it. An error is kept in words: it has to be
/// told to everybody who waits.
type Slot = Arc<OnceLock<Result<Arc<Vec<u8>>, String>>>;

/// The frames that were wanted last.
#[derive(Default)]
pub struct Frames {
    slots: Mutex<VecDeque<(FrameKey, Slot)>>,
}

impl Frames {
    /// The frame, decoded by `decode` unless it is here or somebody is at it, who is waited for.
    pub fn get(
        &self,
        key: FrameKey,
        path: &str,
        decode: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Arc<Vec<u8>>, StoreError> {
        let slot = self.slot(key);
        let mut failed = None;
        let decoded = slot.get_or_init(|| {
            decode().map(Arc::new).map_err(|error| {
                let text = error.to_string();
                failed = Some(error);
                text
            })
        });
        match (decoded, failed) {
            (Ok(raw), _) => Ok(raw.clone()),
            (Err(_), Some(error)) => {
                self.forget(key);
                Err(error)
            }
            (Err(text), None) => Err(StoreError::corrupt(path, text.clone())),
        }
    }

    fn slot(&self, key: FrameKey) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let at = slots.iter().rposition(|(known, _)| *known == key);
        let slot = match at.and_then(|at| slots.remove(at)) {
            Some((_, slot)) => slot,
            None => Slot::default(),
        };
        slots.push_back((key, slot.clone()));
        if slots.len() > KEPT_FRAMES {
            slots.pop_front();
        }
        slot
    }

    fn forget(&self, key: FrameKey) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(known, _)| *known != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn threads_that_want_the_same_frames_decode_each_once() {
        let (frames, decoded) = (Frames::default(), AtomicUsize::new(0));
        let wanted = KEPT_FRAMES as u32;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..wanted {
                        let raw = frames.get((0, number), "p", || {
                            decoded.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            Ok(vec![number as u8])
                        });
                        assert_eq!(*raw.unwrap(), [number as u8]);
                    }
                });
            }
        });
        assert_eq!(decoded.into_inner(), KEPT_FRAMES);
    }

    #[test]
    fn an_error_is_told_and_the_next_one_tries_again() {
        let frames = Frames::default();
        let broken = || Err(StoreError::corrupt("p", "broken"));
        assert!(frames.get((0, 0), "p", broken).is_err());
        assert_eq!(*frames.get((0, 0), "p", || Ok(vec![1])).unwrap(), [1]);
    }
}
