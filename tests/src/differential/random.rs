//! Choices.

use rand::Rng;
use rand::seq::IndexedRandom;

/// One of several; there is at least one.
pub fn one_of<T: Clone>(random: &mut impl Rng, all: &[T]) -> T {
    // Every list has something in it.
    all.choose(random).unwrap_or(&all[0]).clone()
}
