//! HMAC-SHA256 over the four JSON parts of a message.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A signature in bytes.
pub(crate) type Signature = [u8; 32];

/// Signs and verifies with the key of the connection file. With an empty key, messages carry an
/// empty signature and none is checked.
#[derive(Clone)]
pub(crate) struct Signer {
    mac: Option<Hmac<Sha256>>,
}

impl Signer {
    pub(crate) fn new(key: &str) -> Self {
        // An HMAC accepts a key of any length, so the error cannot occur.
        let mac = (!key.is_empty()).then(|| Hmac::new_from_slice(key.as_bytes()).ok()).flatten();
        Self { mac }
    }

    /// The signature frame for the parts: lower-case hexadecimal digits; empty without a key.
    pub(crate) fn sign<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        match self.digest(parts) {
            Some(mac) => hex::encode(mac.finalize().into_bytes()),
            None => String::new(),
        }
    }

    /// Checks in constant time that `frame` signs the parts. Returns the signature, `None` without
    /// a key, and an error for a wrong or missing signature.
    pub(crate) fn verify<'a>(
        &self,
        frame: &[u8],
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Signature>, Forged> {
        let Some(mac) = self.digest(parts) else { return Ok(None) };
        let mut claimed = Signature::default();
        hex::decode_to_slice(frame, &mut claimed).map_err(|_| Forged)?;
        mac.verify_slice(&claimed).map_err(|_| Forged)?;
        Ok(Some(claimed))
    }

    fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<Hmac<Sha256>> {
        let mut mac = self.mac.clone()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }
}

/// The message's signature is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        // Test case 2 of RFC 4231, its data split like a message.
        let signer = Signer::new("Jefe");
        let parts: [&[u8]; 4] = [b"what do ya ", b"want ", b"for ", b"nothing?"];
        assert_eq!(
            signer.sign(parts),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn only_the_right_signature_is_accepted() {
        let signer = Signer::new("key");
        let good = signer.sign([&b"a"[..], b"b"]);
        assert!(signer.verify(good.as_bytes(), [&b"a"[..], b"b"]).unwrap().is_some());
        assert_eq!(signer.verify(good.as_bytes(), [&b"a"[..], b"c"]), Err(Forged));
        assert_eq!(signer.verify(b"", [&b"a"[..], b"b"]), Err(Forged));
        assert_eq!(signer.verify(&good.as_bytes()[..62], [&b"a"[..], b"b"]), Err(Forged));
        assert_eq!(Signer::new("other").verify(good.as_bytes(), [&b"a"[..], b"b"]), Err(Forged));
    }

    #[test]
    fn without_a_key_nothing_is_signed_or_checked() {
        let signer = Signer::new("");
        assert_eq!(signer.sign([&b"a"[..]]), "");
        assert_eq!(signer.verify(b"anything", [&b"a"[..]]), Ok(None));
    }
}
