//! Reading labs, scenarios and the other files: what makes each sound by itself, and what is said when it is not.

mod acknowledged;
mod arrivals;
mod lab;
mod night;
mod scenario;
mod search;

use std::collections::HashMap;
use std::hash::Hash;

/// Each later occurrence of a value: its index, and that of the first one.
fn repeats<T: Eq + Hash>(values: impl IntoIterator<Item = T>) -> Vec<(usize, usize)> {
    let mut first = HashMap::new();
    let mut found = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        match first.get(&value) {
            Some(&earlier) => found.push((index, earlier)),
            None => {
                first.insert(value, index);
            }
        }
    }
    found
}
