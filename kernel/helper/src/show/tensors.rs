//! Tensors of every layout and kind have a printed form, with the values that PyTorch prints.

use crate::display::Rich;
use crate::tch::{Device, Kind, Tensor};

fn shown(tensor: &Tensor) -> String {
    let bundle = tensor.bundle();
    assert!(bundle.data["text/html"].as_str().unwrap().contains("<pre"));
    bundle.plain().to_owned()
}

fn sample() -> Tensor {
    Tensor::from_slice2(&[[0.0_f32, 2.0], [3.0, 0.0]])
}

#[test]
fn sparse_tensors_show_what_they_store() {
    assert_eq!(
        shown(&sample().to_sparse_sparse_dim(2)),
        "Tensor [2, 2] Float on Cpu, sparse (COO), 2 values stored\nindices\n[[0, 1],\n [1, 0]]\n\
         values\n[2., 3.]"
    );
    assert_eq!(
        shown(&sample().to_sparse_csr(None)),
        "Tensor [2, 2] Float on Cpu, sparse (CSR), 2 values stored\nrow starts\n[0, 1, 2]\n\
         columns\n[1, 0]\nvalues\n[2., 3.]"
    );
    assert!(
        shown(&sample().to_sparse_csc(None))
            .contains("sparse (CSC), 2 values stored\ncolumn starts")
    );
    let blocks = sample().to_sparse_bsr([1, 1], None);
    assert!(shown(&blocks).contains("sparse (BSR), 2 values stored"), "{}", shown(&blocks));
    let twice = Tensor::sparse_coo_tensor_indices(
        &Tensor::from_slice2(&[[1_i64, 1]]),
        &Tensor::from_slice(&[0.5_f32, 0.25]),
        (Kind::Float, Device::Cpu),
        false,
    );
    assert!(shown(&twice).ends_with("indices\n[[1]]\nvalues\n[0.7500]"), "{}", shown(&twice));
    // A panic in one display must not spoil the next.
    assert_eq!(shown(&sample()), "Tensor [2, 2] Float on Cpu\n[[0., 2.],\n [3., 0.]]");
    assert!(format!("{}", sample()).contains("2."));
}

#[test]
fn undefined_tensors_say_so() {
    let weight = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    for undefined in [Tensor::new(), weight.grad()] {
        assert!(shown(&undefined).starts_with("Tensor, undefined\n"), "{}", shown(&undefined));
    }
    (&weight * &weight).sum(Kind::Float).backward();
    assert_eq!(shown(&weight.grad()), "Tensor [2] Float on Cpu\n[2., 2.]");
    assert_eq!(shown(&weight), "Tensor [2] Float on Cpu, requires grad\n[1., 1.]");
}

#[test]
fn every_kind_is_shown() {
    let quantised = Tensor::from_slice(&[0.5_f32, 1.0]).quantize_per_tensor(0.5, 3, Kind::QInt8);
    assert_eq!(
        shown(&quantised),
        "Tensor [2] QInt8 on Cpu, quantised: scale 0.5, zero point 3\n[0.5000, 1.0000]"
    );
    let scales = Tensor::from_slice(&[0.5_f64, 0.25]);
    let zeros = Tensor::from_slice(&[0_i64, 0]);
    let channels = sample().quantize_per_channel(&scales, &zeros, 0, Kind::QInt8);
    assert!(
        shown(&channels).contains("quantised along dimension 0\n[[0., 2.],"),
        "{}",
        shown(&channels)
    );
    let real = Tensor::from_slice(&[1.0_f32, 0.5]);
    let complex = Tensor::complex(&real, &Tensor::from_slice(&[2.0_f32, -0.25]));
    assert_eq!(shown(&complex), "Tensor [2] ComplexFloat on Cpu\n[1.0000+2.0000i, 0.5000-0.2500i]");
    assert!(shown(&complex.conj()).ends_with("[1.0000-2.0000i, 0.5000+0.2500i]"));
    assert!(shown(&complex.get(0)).ends_with("on Cpu\n1.+2.i"));
    for kind in [Kind::Half, Kind::BFloat16, Kind::Double, Kind::Float8e4m3fn, Kind::Float8e5m2] {
        assert!(shown(&real.to_kind(kind)).ends_with("[1.0000, 0.5000]"), "{kind:?}");
    }
    assert!(shown(&sample().to_kind(Kind::Bool)).ends_with("[[false,  true],\n [ true, false]]"));
    assert!(shown(&sample().to_kind(Kind::Uint8)).ends_with("[[0, 2],\n [3, 0]]"));
    assert!(shown(&sample().to_mkldnn()).ends_with("oneDNN\n[[0., 2.],\n [3., 0.]]"));
    let extremes = Tensor::from_slice(&[f64::NAN, f64::INFINITY, -1e-5, 1e10]);
    assert!(shown(&extremes).ends_with("[        nan,         inf, -1.0000e-05,  1.0000e+10]"));
    let nested = Tensor::from_slice(&[1.0_f32, 0.5, 3.0]).internal_nested_view_from_buffer(
        &Tensor::from_slice2(&[[2_i64], [1]]),
        &Tensor::from_slice2(&[[1_i64], [1]]),
        &Tensor::from_slice(&[0_i64, 2]),
    );
    assert_eq!(
        shown(&nested),
        "Tensor, nested: 2 tensors\nTensor [2] Float on Cpu\n[1.0000, 0.5000]\n\
         Tensor [1] Float on Cpu\n[3.]"
    );
}

#[test]
fn every_size_is_shown() {
    assert_eq!(shown(&Tensor::from(2.5_f32)), "Tensor [] Float on Cpu\n2.5000");
    assert_eq!(
        shown(&Tensor::empty([0, 3], (Kind::Float, Device::Cpu))),
        "Tensor [0, 3] Float on Cpu\n[]"
    );
    assert_eq!(
        shown(&Tensor::arange(1_000_000, (Kind::Int64, Device::Cpu))),
        "Tensor [1000000] Int64 on Cpu, 1,000,000 values\n\
         [     0,      1,      2, ..., 999997, 999998, 999999]"
    );
    let image = Tensor::ones([3, 224, 224], (Kind::Uint8, Device::Cpu));
    let row = "[1, 1, 1, ..., 1, 1, 1]";
    let plane = format!("[{row},\n  {row},\n  {row},\n  ...,\n  {row},\n  {row},\n  {row}]");
    assert_eq!(
        shown(&image),
        format!(
            "Tensor [3, 224, 224] Uint8 on Cpu, 150,528 values\n[{plane},\n\n {plane},\n\n {plane}]"
        )
    );
    // One byte in memory, ten billion values.
    let huge = Tensor::ones([1], (Kind::Uint8, Device::Cpu)).expand([100_000, 100_000], false);
    assert!(shown(&huge).contains("10,000,000,000 values"));
}
