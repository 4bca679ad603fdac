//! Numbers that follow from a seed, and choices made with them.

/// SplitMix64: small, and every seed gives a good stream.
pub struct Seed(u64);

impl Seed {
    /// The stream of `seed`. Neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        // Mixed, not multiplied: the stream of a neighbour would be this one, a step further.
        Self(Self(seed).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// From `least` to `most` of `items`, with repetition.
    pub fn some<T: Copy>(&mut self, items: &[T], least: usize, most: usize) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| self.pick(items)).collect()
    }

    /// Each of `items` with a chance of `percent`, in their order.
    pub fn subset<T: Copy>(&mut self, items: &[T], percent: usize) -> Vec<T> {
        items.iter().copied().filter(|_| self.chance(percent)).collect()
    }
}
