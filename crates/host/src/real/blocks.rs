//! Lays a ready-made file system down, block by block, past the page cache.

use crate::HostError;
use hostwright_model::image::BlockSource;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// How often the caller hears how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Where the kernel wants buffers to begin that it writes without copying.
const ALIGN_BYTES: usize = 4096;
/// Each core has one thread that decodes while the other one's blocks are written.
const THREADS_PER_CORE: usize = 2;

struct Layer<'a> {
    device: &'a File,
    source: &'a dyn BlockSource,
    next: AtomicUsize,
    written_bytes: AtomicU64,
    stop: AtomicBool,
    first_error: Mutex<Option<io::Error>>,
}

/// Lays `source` down at the beginning of `device`; `on_bytes` hears the sum of the bytes written.
pub(super) fn lay(
    device: &str,
    source: &dyn BlockSource,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), HostError> {
    let failed =
        |operation| move |source| HostError::Io { operation, path: device.to_owned(), source };
    let mut file = File::from(open(device).map_err(failed("open"))?);
    let room = file.seek(SeekFrom::End(0)).map_err(failed("find the size of"))?;
    if room < source.size_bytes() {
        let reason = format!("a file system of {} bytes is larger", source.size_bytes());
        return Err(failed("write to")(io::Error::new(io::ErrorKind::StorageFull, reason)));
    }
    let layer = Layer {
        device: &file,
        source,
        next: AtomicUsize::new(0),
        written_bytes: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        first_error: Mutex::new(None),
    };
    layer.run_workers(on_bytes).map_err(failed("write to"))?;
    on_bytes(layer.written_bytes.into_inner());
    file.sync_all().map_err(failed("sync"))
}

/// Nobody else may have it, and the page cache would be one copy too many.
fn open(device: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(device, flags | OFlags::DIRECT, Mode::empty()) {
        Err(Errno::INVAL) => Ok(rustix::fs::open(device, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

impl Layer<'_> {
    fn run_workers(&self, on_bytes: &mut dyn FnMut(u64)) -> io::Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (at_work, all_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            for _ in 0..(cores * THREADS_PER_CORE).min(self.source.parts()) {
                let at_work = at_work.clone();
                scope.spawn(move || {
                    self.work_through();
                    drop(at_work);
                });
            }
            drop(at_work);
            while all_done.recv_timeout(REPORT_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                on_bytes(self.written_bytes.load(Ordering::Relaxed));
            }
        });
        let mut error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        error.take().map_or(Ok(()), Err)
    }

    fn work_through(&self) {
        let mut memory = vec![0; self.source.part_bytes_max() + ALIGN_BYTES];
        let start = memory.as_ptr().align_offset(ALIGN_BYTES);
        let buffer = &mut memory[start..];
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.source.parts() {
                return;
            }
            if let Err(error) = self.write_part(number, buffer) {
                let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }

    fn write_part(&self, number: usize, buffer: &mut [u8]) -> io::Result<()> {
        for run in self.source.read_part(number, buffer)? {
            let blocks = &buffer[run.start..run.start + run.bytes];
            self.device.write_all_at(blocks, run.to)?;
            self.written_bytes.fetch_add(run.bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
