//! Numbers with their units, as a person reads them.

/// A time with three significant digits and the unit that suits it: `61.2 µs`.
pub fn time(ns: f64) -> String {
    let (value, unit) = scaled(ns);
    format!("{} {unit}", three_digits(value))
}

/// A time with its sign always shown: `+0.31 µs`.
pub fn signed_time(ns: f64) -> String {
    let (value, unit) = scaled(ns);
    let sign = if ns > 0.0 { "+" } else { "" };
    format!("{sign}{} {unit}", three_digits(value))
}

/// A change with its sign always shown: `+1.98 %`.
pub fn signed_percent(percent: f64) -> String {
    let sign = if percent > 0.0 { "+" } else { "" };
    format!("{sign}{} %", three_digits(percent))
}

fn scaled(ns: f64) -> (f64, &'static str) {
    match ns.abs() {
        a if a < 1e3 => (ns, "ns"),
        a if a < 1e6 => (ns / 1e3, "µs"),
        a if a < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    }
}

/// Three significant digits, without an exponent: `1234`, `123`, `12.3`, `1.23`, `0.123`.
pub fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        a if a >= 99.95 || a == 0.0 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.999_5 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    // What rounds to nothing has no sign.
    if text.trim_matches(['-', '0', '.']).is_empty() {
        "0".to_owned()
    } else {
        text
    }
}

/// A probability: `0.031`, and below a thousandth `< 0.001`, since none is zero.
pub fn probability(p: f64) -> String {
    if p < LEAST_TOLD {
        format!("< {LEAST_TOLD}")
    } else {
        three_digits(p)
    }
}

/// The same in a sentence: `p = 0.031`, `p < 0.001`.
pub fn p_value(p: f64) -> String {
    let sign = if p < LEAST_TOLD { "" } else { "= " };
    format!("p {sign}{}", probability(p))
}

/// Of smaller probabilities only this is told.
const LEAST_TOLD: f64 = 0.001;

/// Bits a second in Mbit/s: `1.02`.
pub fn mbits(bps: f64) -> String {
    three_digits(bps / 1e6)
}

/// A count with a thin gap between thousands: `20 000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 trial`, `2 trials`.
pub fn plural(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_probability_is_zero() {
        assert_eq!(probability(1.0 / 2048.0), "< 0.001");
        assert_eq!(probability(0.001), "0.001");
        assert_eq!(probability(1.0), "1.00");
        assert_eq!(p_value(1.0 / 2048.0), "p < 0.001");
        assert_eq!(p_value(0.031), "p = 0.031");
    }

    #[test]
    fn reads_well() {
        assert_eq!(time(0.0), "0 ns");
        assert_eq!(time(61_234.0), "61.2 µs");
        assert_eq!(time(999.96), "1000 ns");
        assert_eq!(time(1_500_000_000.0), "1.50 s");
        assert_eq!(signed_time(-1234.0), "-1.23 µs");
        assert_eq!(signed_time(310.0), "+310 ns");
        assert_eq!(signed_time(0.0), "0 ns");
        assert_eq!(three_digits(-0.000_01), "0");
        assert_eq!(count(1234), "1234");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(plural(1, "trial"), "1 trial");
    }
}
