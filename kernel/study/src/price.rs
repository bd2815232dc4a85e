//! The price of an hour of a machine.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A price per hour; in JSON a string such as `0.60 EUR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price {
    /// At least 0.
    pub amount: f64,
    /// For example `EUR`.
    pub currency: String,
}

impl Price {
    /// The cost of this many seconds.
    pub fn of(&self, seconds: f64) -> f64 {
        self.amount * seconds / 3600.0
    }
}

impl TryFrom<String> for Price {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("a price is a number and a currency, such as `0.60 EUR`; got `{text}`");
        let (amount, currency) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let amount: f64 = amount.parse().map_err(|_| wrong())?;
        if !amount.is_finite() || amount < 0.0 || currency.trim().is_empty() {
            return Err(wrong());
        }
        Ok(Self { amount, currency: currency.trim().into() })
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_a_number_and_a_currency() {
        let price: Price = serde_json::from_str("\"2.50 US $\"").unwrap();
        assert_eq!((price.amount, price.currency.as_str()), (2.5, "US $"));
        // 2.50 × 90 s / 3600 s.
        assert_eq!(price.of(90.0), 0.0625);
        assert_eq!(serde_json::to_string(&price).unwrap(), "\"2.5 US $\"");
        for wrong in ["2.50", "EUR 2.50", "-1 EUR", "inf EUR", "1  "] {
            assert!(Price::try_from(wrong.to_owned()).unwrap_err().contains("0.60 EUR"), "{wrong}");
        }
    }
}
