//! PyTorch's `torch.amp.GradScaler` with its defaults.

use benchbook_backend::Array;
use tch::{Kind, TchError, Tensor};

/// The name of its state beside the optimiser's.
pub(crate) const NAME: &str = "scaler";

/// Multiplies the loss so that the gradients of 16-bit floats neither vanish nor overflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scaler {
    scale: f32,
    /// Steps without an overflow since the scale last changed.
    good: u32,
}

/// Steps without an overflow after which the scale grows.
const INTERVAL: u32 = 2000;

impl Default for Scaler {
    fn default() -> Self {
        Self { scale: 65_536.0, good: 0 }
    }
}

impl Scaler {
    pub(crate) fn scale(&self, loss: &Tensor) -> Result<Tensor, TchError> {
        loss.f_mul_scalar(f64::from(self.scale))
    }

    /// Divides the gradients in place and changes the scale. False if one of them is not finite, so
    /// that the step must be skipped.
    pub(crate) fn unscale(&mut self, gradients: &[Tensor]) -> Result<bool, TchError> {
        let Some(first) = gradients.first() else { return Ok(true) };
        let options = (Kind::Float, first.device());
        let mut overflow = Tensor::f_zeros([1], options)?;
        let inverse = Tensor::f_full([1], f64::from(self.scale).recip(), options)?;
        for gradient in gradients {
            gradient
                .shallow_clone()
                .f_internal_amp_non_finite_check_and_unscale(&mut overflow, &inverse)?;
        }
        let finite = overflow.f_double_value(&[0])? == 0.0;
        if !finite {
            *self = Self { scale: self.scale * 0.5, good: 0 };
        } else if self.good + 1 == INTERVAL {
            *self = Self { scale: self.scale * 2.0, good: 0 };
        } else {
            self.good += 1;
        }
        Ok(finite)
    }

    pub(crate) fn read(&self) -> Array {
        Array { shape: vec![2], values: vec![self.scale, self.good as f32] }
    }

    pub(crate) fn from_array(array: &Array) -> Self {
        match array.values[..] {
            [scale, good] => Self { scale, good: good as u32 },
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_halves_the_scale_and_a_long_quiet_doubles_it() {
        let mut scaler = Scaler::default();
        let gradient = || Tensor::from_slice(&[65_536.0_f32, -131_072.0]);
        let one = gradient();
        assert!(scaler.unscale(std::slice::from_ref(&one)).unwrap());
        assert_eq!(Vec::<f32>::try_from(&one).unwrap(), [1.0, -2.0]);
        assert_eq!(scaler, Scaler { scale: 65_536.0, good: 1 });
        let broken = Tensor::from_slice(&[1.0, f32::INFINITY]);
        assert!(!scaler.unscale(&[gradient(), broken]).unwrap());
        assert_eq!(scaler, Scaler { scale: 32_768.0, good: 0 });
        scaler.good = INTERVAL - 1;
        assert!(scaler.unscale(&[gradient()]).unwrap());
        assert_eq!(scaler, Scaler { scale: 65_536.0, good: 0 });
        assert_eq!(Scaler::from_array(&scaler.read()), scaler);
    }
}
