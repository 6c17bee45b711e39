//! Scales and ticks.

/// How values become places along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal steps.
    Linear {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Equal factors; both ends above zero.
    Log {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
}

impl Scale {
    /// A linear scale whose ends are round numbers around all values.
    pub fn linear(values: impl IntoIterator<Item = f64>, with_zero: bool) -> Self {
        let (mut lo, mut hi) = range(values).unwrap_or((0.0, 1.0));
        if with_zero {
            (lo, hi) = (lo.min(0.0), hi.max(0.0));
        }
        if hi - lo < 1e-12 {
            (lo, hi) = (lo - 0.5, hi + 0.5);
            if with_zero && lo < 0.0 {
                lo = 0.0;
            }
        }
        let step = step(hi - lo, 5.0);
        Self::Linear {
            from: (lo / step).floor() * step,
            to: (hi / step).ceil() * step,
        }
    }

    /// A logarithmic scale around all values above zero, with a little room at both ends.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (lo, hi) = range(values.into_iter().filter(|v| *v > 0.0)).unwrap_or((1.0, 10.0));
        let room = (hi / lo).powf(0.04).max(1.06);
        Self::Log {
            from: lo / room,
            to: hi * room,
        }
    }

    /// Both ends in another unit: values divided by `unit`.
    #[must_use]
    pub fn in_unit(self, unit: f64) -> Self {
        match self {
            Self::Linear { from, to } => Self::Linear {
                from: from / unit,
                to: to / unit,
            },
            Self::Log { from, to } => Self::Log {
                from: from / unit,
                to: to / unit,
            },
        }
    }

    /// 0 at the start, 1 at the end; values outside are put on the nearest end.
    pub fn place(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Ticks that a reader expects, about `count` of them: value and label.
    pub fn ticks(self, count: f64) -> Vec<(f64, String)> {
        match self {
            Self::Linear { from, to } => linear_ticks(from, to, count),
            Self::Log { from, to } => {
                let decades = (to / from).log10();
                if decades < 0.7 {
                    // Too short for decades.
                    return linear_ticks(from, to, count);
                }
                let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
                // The richest set that still has room.
                let sets: [&[f64]; 4] = [
                    &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                    &[1.0, 2.0, 3.0, 5.0, 7.0],
                    &[1.0, 2.0, 5.0],
                    &[1.0, 3.0],
                ];
                let mantissas = sets
                    .into_iter()
                    .find(|set| decades * set.len() as f64 <= count)
                    .unwrap_or(&[1.0]);
                let every = (decades / count).ceil().max(1.0) as i32;
                (first..=last)
                    .filter(|exponent| exponent.rem_euclid(every) == 0)
                    .flat_map(|exponent| mantissas.iter().map(move |m| m * 10_f64.powi(exponent)))
                    .filter(|v| *v >= from * 0.999_999 && *v <= to * 1.000_001)
                    .map(|v| (v, label(v, shortest(v))))
                    .collect()
            }
        }
    }
}

fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|v| v.is_finite())
        .fold(None, |range, v| match range {
            None => Some((v, v)),
            Some((lo, hi)) => Some((f64::min(lo, v), f64::max(hi, v))),
        })
}

/// 1, 2 or 5 times a power of ten, so that `span` has about `count` of them.
fn step(span: f64, count: f64) -> f64 {
    let raw = span / count;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = match raw / power {
        f if f <= 1.0 => 1.0,
        f if f <= 2.0 => 2.0,
        f if f <= 5.0 => 5.0,
        _ => 10.0,
    };
    factor * power
}

fn linear_ticks(from: f64, to: f64, count: f64) -> Vec<(f64, String)> {
    let step = step(to - from, count);
    let first = (from / step - 1e-9).ceil() as i64;
    let last = (to / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|i| (i as f64 * step, label(i as f64 * step, step)))
        .collect()
}

/// The step that shows 1.5 as `1.5` and 2 as `2`.
fn shortest(value: f64) -> f64 {
    let power = 10_f64.powf((value.log10() + 1e-9).floor());
    let mantissa = value / power;
    if (mantissa - mantissa.round()).abs() < 1e-6 {
        power
    } else {
        power / 10.0
    }
}

/// With as many decimals as the step needs, and a thin gap between thousands.
fn label(value: f64, step: f64) -> String {
    let decimals = (-(step.abs().log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut out = String::new();
    if value < 0.0 && text.contains(|c: char| c.is_ascii_digit() && c != '0') {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && whole.len() > 4 {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A value with four significant digits, as it is told under the pointer: `61.23`, `0.9901`, `1234`.
pub fn label_of(value: f64) -> String {
    digits(value, 4)
}

/// A value with nine significant digits, as it goes into files: more is below any resolution, and half of a file.
pub fn exact(value: f64) -> String {
    digits(value, 9)
}

fn digits(value: f64, significant: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.abs().to_string();
    }
    let whole = value.abs().log10().floor() as i32;
    let decimals = (significant - 1 - whole).clamp(0, 20) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The unit that suits times up to `greatest_ns`: its length in nanoseconds and its name.
pub fn time_unit(greatest_ns: f64) -> (f64, &'static str) {
    match greatest_ns.abs() {
        g if g < 2e3 => (1.0, "ns"),
        g if g < 2e7 => (1e3, "µs"),
        g if g < 2e10 => (1e6, "ms"),
        _ => (1e9, "s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(scale: Scale, count: f64) -> Vec<String> {
        scale.ticks(count).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_that_a_reader_expects() {
        assert_eq!(
            labels(
                Scale::Linear {
                    from: 0.0,
                    to: 10.0
                },
                5.0
            ),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(
                Scale::Linear {
                    from: -0.2,
                    to: 0.2
                },
                4.0
            ),
            ["−0.2", "−0.1", "0.0", "0.1", "0.2"]
        );
        assert_eq!(
            labels(
                Scale::Log {
                    from: 8.0,
                    to: 1200.0
                },
                8.0
            ),
            ["10", "20", "50", "100", "200", "500", "1000"]
        );
        assert_eq!(
            labels(Scale::Log { from: 0.5, to: 2e5 }, 6.0),
            ["1", "10", "100", "1000", "10\u{2009}000", "100\u{2009}000"]
        );
        assert_eq!(
            labels(
                Scale::Log {
                    from: 60.0,
                    to: 80.0
                },
                5.0
            ),
            ["60", "65", "70", "75", "80"]
        );
    }

    #[test]
    fn values_keep_their_digits() {
        assert_eq!(label_of(61.234_56), "61.23");
        assert_eq!(label_of(-0.000_123_456), "-0.0001235");
        assert_eq!(label_of(2000.0), "2000");
        assert_eq!(exact(1.0 / 3.0), "0.333333333");
        assert_eq!(exact(123_456_789_012.0), "123456789012");
        assert_eq!(exact(-0.0), "0");
    }

    proptest! {
        #[test]
        fn files_say_what_is_drawn(value in -1e12f64..1e12) {
            let read: f64 = exact(value).parse().expect("a number");
            prop_assert!((read - value).abs() <= value.abs() * 1e-8);
        }

        #[test]
        fn ticks_lie_on_the_axis_and_are_few(
            lo in -1e9f64..1e9, span in 1e-3f64..1e9, log: bool, count in 2u32..12,
        ) {
            let scale = if log {
                let from = lo.abs() + 1e-3;
                Scale::Log { from, to: from + span }
            } else {
                Scale::Linear { from: lo, to: lo + span }
            };
            let ticks = scale.ticks(f64::from(count));
            prop_assert!(ticks.len() <= 3 * count as usize + 3, "{} ticks", ticks.len());
            for (value, _) in ticks {
                prop_assert!((0.0..=1.0).contains(&scale.place(value)));
            }
        }

        #[test]
        fn round_ends_hold_all_values(values in proptest::collection::vec(-1e6f64..1e6, 1..20)) {
            let Scale::Linear { from, to } = Scale::linear(values.iter().copied(), true) else {
                panic!("asked for a linear scale");
            };
            prop_assert!(values.iter().all(|v| *v >= from - 1e-6 && *v <= to + 1e-6));
            prop_assert!(from <= 0.0 && to >= 0.0 && from < to);
        }
    }
}
