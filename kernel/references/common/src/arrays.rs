//! safetensors files of 32-bit floats.

use anyhow::{Context, ensure};
use benchbook_backend::{Array, Parameters};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

pub(crate) fn read(path: &Path) -> anyhow::Result<Parameters> {
    let context = || format!("cannot read {}", path.display());
    let bytes = std::fs::read(path).with_context(context)?;
    let tensors = SafeTensors::deserialize(&bytes).with_context(context)?;
    let mut all = Parameters::default();
    for (name, view) in tensors.tensors() {
        let kind = view.dtype();
        ensure!(kind == Dtype::F32, "{name} in {} must be F32, got {kind:?}", path.display());
        let words = view.data().chunks_exact(4);
        let values = words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let array = Array { shape: view.shape().to_vec(), values: values.collect() };
        all.arrays.insert(name, array);
    }
    Ok(all)
}

pub(crate) fn write(all: &Parameters, path: &Path) -> anyhow::Result<()> {
    let bytes = |array: &Array| -> Vec<u8> {
        array.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let data: Vec<(&String, &Array, Vec<u8>)> =
        all.arrays.iter().map(|(name, array)| (name, array, bytes(array))).collect();
    let views = data
        .iter()
        .map(|(name, array, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, array.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let written = safetensors::serialize(views, None)?;
    std::fs::write(path, written).with_context(|| format!("cannot write {}", path.display()))
}
