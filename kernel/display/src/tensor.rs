//! Tensors of LibTorch show shape, kind, device and their values as PyTorch prints them, those of every layout.
//!
//! tch's own `Display` is not used: it panics on sparse tensors while it holds a lock that all printing needs.

use crate::{Bundle, Rich, commas, escape};
use tch::{Device, Kind, TchError, Tensor};

/// Tensors of more values are shown by the edges of each dimension, as in PyTorch.
const MOST_VALUES: usize = 1000;
/// Values shown at each edge.
const EDGE: i64 = 3;
/// Characters of a line of values.
const LINE: usize = 80;

impl Rich for Tensor {
    fn bundle(&self) -> Bundle {
        let (head, values) = form(self);
        Bundle::text(format!("{head}\n{values}")).html(format!(
            "<b>{}</b><pre style=\"margin:0\">{}</pre>",
            escape(&head),
            escape(&values)
        ))
    }
}

/// What a tensor is, in one line, and its values.
fn form(tensor: &Tensor) -> (String, String) {
    if !tensor.defined() {
        let why = "no values: a gradient before `backward()`, or `Tensor::new()`";
        return ("Tensor, undefined".to_owned(), why.to_owned());
    }
    // A nested tensor has no size that could be asked for; only of one can this be made.
    if tensor.f_nested_to_padded_tensor(0.0, None::<&[i64]>).is_ok()
        && let Ok(parts) = tensor.f_unbind(0)
    {
        let text = |part: &Tensor| {
            let (head, values) = form(part);
            format!("{head}\n{values}")
        };
        let shown: Vec<String> = parts.iter().take(2 * EDGE as usize).map(text).collect();
        let more = if parts.len() > shown.len() { "\n..." } else { "" };
        return (format!("Tensor, nested: {} tensors", parts.len()), shown.join("\n") + more);
    }
    let kind =
        tensor.f_kind().map_or("of a kind that tch does not know".into(), |k| format!("{k:?}"));
    let mut head = format!("Tensor {:?} {kind} on {}", tensor.size(), device(tensor));
    let count = tensor.numel();
    if count > MOST_VALUES {
        head += &format!(", {} values", commas(count as u64));
    }
    if tensor.requires_grad() {
        head += ", requires grad";
    }
    let (layout, values) = match laid_out(tensor) {
        Ok(parts) => parts,
        // What cannot be read (a meta tensor has no data) is still named.
        Err(error) => (String::new(), first_line(&error)),
    };
    (head + &layout, values)
}

/// tch calls every device Mps that it does not know.
fn device(tensor: &Tensor) -> String {
    match tensor.device() {
        Device::Mps if !cfg!(target_os = "macos") => "a device without data".to_owned(),
        device => format!("{device:?}"),
    }
}

/// The first line of LibTorch's message.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// How the values are stored, unless one beside the other, and the values.
fn laid_out(tensor: &Tensor) -> Result<(String, String), TchError> {
    let _no_grad = tch::no_grad_guard();
    if tensor.is_sparse() {
        let tensor = tensor.f_coalesce()?;
        let values = tensor.f_values()?;
        let indices = body(&tensor.f_indices()?)?;
        let text = format!("indices\n{indices}\nvalues\n{}", body(&values)?);
        return Ok((format!(", sparse (COO), {} stored", stored(&values)), text));
    }
    if let (Ok(rows), Ok(columns)) = (tensor.f_crow_indices(), tensor.f_col_indices()) {
        return compressed(tensor, "CSR", [("row starts", rows), ("columns", columns)]);
    }
    if let (Ok(columns), Ok(rows)) = (tensor.f_ccol_indices(), tensor.f_row_indices()) {
        return compressed(tensor, "CSC", [("column starts", columns), ("rows", rows)]);
    }
    if tensor.is_mkldnn() {
        return Ok((", oneDNN".to_owned(), body(&tensor.f_to_dense(None::<Kind>, false)?)?));
    }
    if matches!(tensor.f_kind(), Ok(Kind::QInt8 | Kind::QUInt8 | Kind::QInt32)) {
        let scheme = match (tensor.f_q_scale(), tensor.f_q_zero_point()) {
            (Ok(scale), Ok(zero)) => format!(", quantised: scale {scale}, zero point {zero}"),
            _ => format!(", quantised along dimension {}", tensor.f_q_per_channel_axis()?),
        };
        return Ok((scheme, body(&tensor.f_dequantize()?)?));
    }
    Ok((String::new(), body(tensor)?))
}

fn compressed(
    tensor: &Tensor,
    name: &str,
    parts: [(&str, Tensor); 2],
) -> Result<(String, String), TchError> {
    let values = tensor.f_values()?;
    let mut text = String::new();
    for (what, indices) in &parts {
        text += &format!("{what}\n{}\n", body(indices)?);
    }
    let name = if values.dim() > 1 { name.replace("CS", "BS") } else { name.to_owned() };
    Ok((
        format!(", sparse ({name}), {} stored", stored(&values)),
        format!("{text}values\n{}", body(&values)?),
    ))
}

fn stored(values: &Tensor) -> String {
    match values.numel() {
        1 => "1 value".to_owned(),
        count => format!("{} values", commas(count as u64)),
    }
}

/// The values of a tensor that has them one beside the other.
fn body(tensor: &Tensor) -> Result<String, TchError> {
    let summary = tensor.numel() > MOST_VALUES;
    let shown = edges(&tensor.f_detach()?, 0, summary)?;
    let texts = texts(&shown)?;
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    let mut texts = texts.into_iter().map(|text| format!("{text:>width$}"));
    let shape = tensor.size();
    if shape.is_empty() {
        return Ok(texts.next().unwrap_or_default());
    }
    let mut out = String::new();
    write(&mut out, &mut texts, &shape, summary, width, 1);
    Ok(out)
}

/// The values on the CPU in 64 bits; of a summary the edges of each dimension from `dim`.
fn edges(tensor: &Tensor, dim: i64, summary: bool) -> Result<Tensor, TchError> {
    let shape = tensor.size();
    let Some(&length) = shape.get(dim as usize).filter(|_| summary) else {
        let kind = match tensor.f_kind()? {
            Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble => Kind::ComplexDouble,
            Kind::Bool => Kind::Bool,
            Kind::Uint8 | Kind::Int8 | Kind::Int16 | Kind::Int | Kind::Int64 => Kind::Int64,
            _ => Kind::Double,
        };
        return tensor.f_to_device(Device::Cpu)?.f_to_kind(kind);
    };
    if length <= 2 * EDGE {
        return edges(tensor, dim + 1, summary);
    }
    let first = edges(&tensor.f_narrow(dim, 0, EDGE)?, dim + 1, summary)?;
    let last = edges(&tensor.f_narrow(dim, length - EDGE, EDGE)?, dim + 1, summary)?;
    Tensor::f_cat(&[first, last], dim)
}

/// Each value as text.
fn texts(values: &Tensor) -> Result<Vec<String>, TchError> {
    Ok(match values.f_kind()? {
        Kind::Bool => {
            let values = values.f_to_kind(Kind::Int64)?.f_reshape([-1])?;
            Vec::<i64>::try_from(values)?.iter().map(|value| (*value != 0).to_string()).collect()
        }
        Kind::Int64 => {
            Vec::<i64>::try_from(values.f_reshape([-1])?)?.iter().map(i64::to_string).collect()
        }
        Kind::ComplexDouble => {
            let parts = values.f_resolve_conj()?.f_view_as_real()?.f_resolve_neg()?;
            let parts = Vec::<f64>::try_from(parts.f_reshape([-1])?)?;
            let texts = floats(&parts);
            let number = |pair: &[String]| match pair[1].starts_with('-') {
                true => format!("{}{}i", pair[0], pair[1]),
                false => format!("{}+{}i", pair[0], pair[1]),
            };
            texts.chunks_exact(2).map(number).collect()
        }
        _ => floats(&Vec::<f64>::try_from(values.f_reshape([-1])?)?),
    })
}

/// Numbers in PyTorch's form: four digits, with an exponent where they differ much, `2.` where all are whole
/// (`torch/_tensor_str.py`).
fn floats(values: &[f64]) -> Vec<String> {
    let sizes = || values.iter().copied().filter(|v| v.is_finite() && *v != 0.0).map(f64::abs);
    let (low, high) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let whole = sizes().all(|size| size.fract() == 0.0);
    let exponent = high > 0.0 && (high / low > 1000.0 || high > 1e8 || (!whole && low < 1e-4));
    let text = |value: &f64| {
        if value.is_nan() {
            "nan".to_owned()
        } else if value.is_infinite() {
            value.to_string()
        } else if exponent {
            let text = format!("{value:.4e}");
            let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
            let power: i32 = power.parse().unwrap_or_default();
            let sign = if power < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", power.abs())
        } else if whole {
            format!("{value:.0}.")
        } else {
            format!("{value:.4}")
        }
    };
    values.iter().map(text).collect()
}

/// Writes the values of one dimension and those within, in brackets.
fn write(
    out: &mut String,
    texts: &mut impl Iterator<Item = String>,
    shape: &[i64],
    summary: bool,
    width: usize,
    indent: usize,
) {
    let Some((&length, inner)) = shape.split_first() else {
        *out += &texts.next().unwrap_or_default();
        return;
    };
    let left_out = summary && length > 2 * EDGE;
    let shown = if left_out { 2 * EDGE } else { length };
    let per_line = (LINE / (width + 2)).max(1) as i64;
    let line_break = format!("{}{}", "\n".repeat(inner.len().max(1)), " ".repeat(indent));
    out.push('[');
    for i in 0..shown {
        if i > 0 {
            out.push(',');
            let breaks = !inner.is_empty() || i % per_line == 0;
            *out += if breaks { &line_break } else { " " };
        }
        if left_out && i == EDGE {
            *out += "...,";
            *out += if inner.is_empty() { " " } else { &line_break };
        }
        write(out, texts, inner, summary, width, indent + 1);
    }
    out.push(']');
}
