//! Amounts of money and quantities: exact decimals, never floating point.

use std::fmt;

/// The text is not a decimal that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecimal {
    /// Not digits with at most one point.
    #[error("must be a number written plainly, such as 1250.5, without an exponent")]
    NotPlain,
    /// More decimal places than we keep.
    #[error("must have at most {0} decimal places")]
    TooPrecise(usize),
    /// Beyond what we keep, in either direction.
    #[error("must be from -{0} to {0}")]
    TooLarge(&'static str),
}

/// An amount of money, exact to the cent. The currency is the tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, in cents; the smallest is its negative. A JSON number holds it exactly, also where a
    /// client reads numbers as doubles.
    pub const CENTS_MAX: i64 = 99_999_999_999_999;
    /// The same as it is written.
    const MAX: &'static str = "999999999999.99";
    const PLACES: usize = 2;

    /// An amount of this many cents, unless it is too large.
    pub fn from_cents(cents: i64) -> Option<Self> {
        (-Self::CENTS_MAX..=Self::CENTS_MAX)
            .contains(&cents)
            .then_some(Self(cents))
    }

    /// In cents.
    pub fn cents(self) -> i64 {
        self.0
    }

    /// Read a JSON number such as `1250`, `1250.5` or `-3.25`.
    ///
    /// # Errors
    /// [`InvalidDecimal`]: nothing is rounded.
    pub fn parse(text: &str) -> Result<Self, InvalidDecimal> {
        decimal(text, Self::PLACES)?
            .and_then(Self::from_cents)
            .ok_or(InvalidDecimal::TooLarge(Self::MAX))
    }

    /// The sum, unless it is too large.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_cents)
    }
}

/// With two decimals, as JSON writes numbers: `1250.50`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// How much of something: more than nothing, exact to a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(i64);

impl Quantity {
    /// The largest quantity, in thousandths.
    pub const THOUSANDTHS_MAX: i64 = 1_000_000_000;
    /// The same as it is written.
    const MAX: &'static str = "1000000";
    const PLACES: usize = 3;

    /// A quantity of this many thousandths, unless it is none or too large.
    pub fn from_thousandths(thousandths: i64) -> Option<Self> {
        (1..=Self::THOUSANDTHS_MAX)
            .contains(&thousandths)
            .then_some(Self(thousandths))
    }

    /// In thousandths.
    pub fn thousandths(self) -> i64 {
        self.0
    }

    /// Read a JSON number such as `12` or `0.125`; `None` when it is zero or less.
    ///
    /// # Errors
    /// [`InvalidDecimal`]: nothing is rounded.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidDecimal> {
        match decimal(text, Self::PLACES)? {
            Some(thousandths) if thousandths <= Self::THOUSANDTHS_MAX => {
                Ok(Self::from_thousandths(thousandths))
            }
            _ => Err(InvalidDecimal::TooLarge(Self::MAX)),
        }
    }

    /// This many of something at a price each, rounded half away from zero to the cent; `None` when it is too large.
    pub fn at(self, price: Money) -> Option<Money> {
        let exact = i128::from(self.0) * i128::from(price.0);
        let half = if exact < 0 { -500 } else { 500 };
        i64::try_from((exact + half) / 1_000)
            .ok()
            .and_then(Money::from_cents)
    }
}

/// With as many decimals as it needs: `12`, `0.125`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return whole.fmt(f);
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A plainly written number, times ten to the power of `places`; `None` when that does not fit.
fn decimal(text: &str, places: usize) -> Result<Option<i64>, InvalidDecimal> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || fraction.is_some_and(|fraction| !are_digits(fraction)) {
        return Err(InvalidDecimal::NotPlain);
    }
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > places {
        return Err(InvalidDecimal::TooPrecise(places));
    }
    let scaled = format!("{whole}{fraction:0<places$}").parse::<i64>().ok();
    Ok(scaled.map(|scaled| if is_negative { -scaled } else { scaled }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_is_plain_and_exact_to_the_cent() {
        for (text, shown) in [
            ("0", "0.00"),
            ("-0", "0.00"),
            ("12", "12.00"),
            ("1250.5", "1250.50"),
            ("0.05", "0.05"),
            ("-3.25", "-3.25"),
            ("-0.01", "-0.01"),
            ("999999999999.99", "999999999999.99"),
        ] {
            assert_eq!(
                Money::parse(text).map(|money| money.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        let too_large = InvalidDecimal::TooLarge("999999999999.99");
        for (text, fault) in [
            ("1.005", InvalidDecimal::TooPrecise(2)),
            ("1.500", InvalidDecimal::TooPrecise(2)),
            ("1e3", InvalidDecimal::NotPlain),
            ("\"1\"", InvalidDecimal::NotPlain),
            ("1.", InvalidDecimal::NotPlain),
            ("null", InvalidDecimal::NotPlain),
            ("1000000000000", too_large),
            ("-1000000000000", too_large),
            ("99999999999999999999999", too_large),
        ] {
            assert_eq!(Money::parse(text), Err(fault), "{text}");
        }
        assert_eq!(Money(Money::CENTS_MAX).plus(Money(1)), None);
    }

    #[test]
    fn a_quantity_is_more_than_nothing_and_exact_to_a_thousandth() {
        for (text, shown) in [
            ("12", "12"),
            ("0.125", "0.125"),
            ("2.50", "2.5"),
            ("1000000", "1000000"),
        ] {
            let read = Quantity::parse(text).map(|quantity| quantity.map(|quantity| quantity.to_string()));
            assert_eq!(read, Ok(Some(shown.to_owned())), "{text}");
        }
        for text in ["0", "-1", "0.000"] {
            assert_eq!(Quantity::parse(text), Ok(None), "{text}");
        }
        for text in ["1000000.001", "1e3", "0.0001"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_price_times_a_quantity_is_rounded_half_away_from_zero() {
        for (thousandths, cents, total) in [
            (1_000, 1_999, Some(1_999)),
            (500, 1, Some(1)),
            (499, 1, Some(0)),
            (500, -1, Some(-1)),
            (1_500, 333, Some(500)),
            (Quantity::THOUSANDTHS_MAX, Money::CENTS_MAX, None),
        ] {
            assert_eq!(
                Quantity(thousandths).at(Money(cents)).map(Money::cents),
                total,
                "{thousandths} x {cents}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(cents in -Money::CENTS_MAX..=Money::CENTS_MAX, thousandths in 1..=Quantity::THOUSANDTHS_MAX) {
            prop_assert_eq!(Money::parse(&Money(cents).to_string()), Ok(Money(cents)));
            prop_assert_eq!(Quantity::parse(&Quantity(thousandths).to_string()), Ok(Some(Quantity(thousandths))));
        }
    }
}
