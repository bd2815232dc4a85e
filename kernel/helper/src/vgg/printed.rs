//! The two printed forms: Keras' table (the report's figure 2) and PyTorch's text (figures 7, 11).

use super::{Architecture, Head, Layer};
use crate::parameters::{Part, Specification};
use std::fmt::{self, Write};

/// Column ends of `model.summary()` in Keras 2: 45%, 85% and 100% of a line of 65 characters.
const COLUMNS: [usize; 3] = [29, 55, 65];

/// One line of Keras' table.
struct Row {
    layer: String,
    shape: String,
    parameters: usize,
}

impl Architecture {
    /// Keras' table of the net. With `frozen_base` the base's parameters count as non-trainable.
    ///
    /// The table has the form of Keras 2, with the spaces at the ends of its lines.
    pub fn summary(&self, frozen_base: bool) -> String {
        let line = "_".repeat(COLUMNS[2]);
        let mut text = format!("Model: \"sequential_1\"\n{line}\n");
        text += &columns(["Layer (type)", "Output Shape", "Param #"]);
        text += &"=".repeat(COLUMNS[2]);
        text.push('\n');
        let rows: Vec<String> = self
            .rows()
            .into_iter()
            .map(|row| columns([&row.layer, &row.shape, &row.parameters.to_string()]))
            .collect();
        text += &rows.join(&format!("{line}\n"));
        text += &"=".repeat(COLUMNS[2]);

        let count = |which: &dyn Fn(&Specification) -> bool| -> usize {
            self.parameters().iter().filter(|p| which(p)).map(Specification::len).sum()
        };
        let total = count(&|_| true);
        let trainable = count(&|p| p.learned && !(frozen_base && p.part == Part::Base));
        text += &format!(
            "\nTotal params: {}\nTrainable params: {}\nNon-trainable params: {}\n{line}\n",
            thousands(total),
            thousands(trainable),
            thousands(total - trainable)
        );
        text
    }

    fn rows(&self) -> Vec<Row> {
        let base =
            self.parameters().iter().filter(|p| p.part == Part::Base).map(Specification::len).sum();
        let [channels, height, width] = self.features();
        let mut rows = vec![Row {
            layer: format!("{} (Model)", self.name()),
            shape: format!("(None, {height}, {width}, {channels})"),
            parameters: base,
        }];
        let mut shape = format!("(None, {height}, {width}, {channels})");
        let (mut flat, mut dropouts) = (height * width * channels, 0);
        for layer in self.head() {
            let (name, parameters) = match layer {
                Layer::AveragePool { side } => {
                    flat = side * side * channels;
                    shape = format!("(None, {side}, {side}, {channels})");
                    ("avgpool (AdaptiveAvgPool2d)".to_owned(), 0)
                }
                Layer::Flatten(_) => {
                    shape = format!("(None, {flat})");
                    ("flatten_1 (Flatten)".to_owned(), 0)
                }
                Layer::Dense { name, inputs, outputs } => {
                    shape = format!("(None, {outputs})");
                    (format!("{name} (Dense)"), inputs * outputs + outputs)
                }
                Layer::Dropout { .. } => {
                    dropouts += 1;
                    (format!("dropout_{dropouts} (Dropout)"), 0)
                }
                // Keras counts an activation as part of its dense layer.
                Layer::Relu | Layer::Conv { .. } | Layer::BatchNorm { .. } | Layer::MaxPool => {
                    continue;
                }
            };
            rows.push(Row { layer: name, shape: shape.clone(), parameters });
        }
        rows
    }
}

/// A line whose fields end at [`COLUMNS`], padded and cut as Keras does it.
fn columns(fields: [&str; 3]) -> String {
    let mut line = String::new();
    for (index, (field, end)) in fields.into_iter().zip(COLUMNS).enumerate() {
        if index > 0 {
            // Keras gives the last place of a column to the space behind it.
            line.pop();
            line.push(' ');
        }
        line += field;
        line = line.chars().take(end).collect();
        line.extend(std::iter::repeat_n(' ', end - line.chars().count()));
    }
    line + "\n"
}

/// A number with commas, for example `27,691,841`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// PyTorch's form of the net.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VGG(")?;
        let base = self.base();
        write!(f, "{}", sequential("features", base.iter().collect::<Vec<_>>().as_slice()))?;
        let head = self.head();
        let classifier: Vec<&Layer> = head
            .iter()
            .filter(|layer| !matches!(layer, Layer::AveragePool { .. } | Layer::Flatten(_)))
            .collect();
        if self.head == Head::PyTorch {
            writeln!(f, "  (avgpool): AdaptiveAvgPool2d(output_size=(7, 7))")?;
        }
        write!(f, "{})", sequential("classifier", &classifier))
    }
}

fn sequential(name: &str, layers: &[&Layer]) -> String {
    let mut text = format!("  ({name}): Sequential(\n");
    for (index, layer) in layers.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    ({index}): {}", layer_text(layer));
    }
    text + "  )\n"
}

fn layer_text(layer: &Layer) -> String {
    match layer {
        Layer::Conv { inputs, outputs, .. } => {
            format!(
                "Conv2d({inputs}, {outputs}, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"
            )
        }
        Layer::BatchNorm { channels, .. } => {
            format!(
                "BatchNorm2d({channels}, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"
            )
        }
        Layer::Relu => "ReLU(inplace=True)".into(),
        Layer::MaxPool => {
            "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)".into()
        }
        Layer::AveragePool { side } => format!("AdaptiveAvgPool2d(output_size=({side}, {side}))"),
        Layer::Flatten(_) => "Flatten(start_dim=1, end_dim=-1)".into(),
        Layer::Dropout { rate } => format!("Dropout(p={rate}, inplace=False)"),
        Layer::Dense { inputs, outputs, .. } => {
            format!("Linear(in_features={inputs}, out_features={outputs}, bias=True)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_figure_2_to_the_letter() {
        // The report's figure 2, with the padding that Keras 2.2 to 2.3 writes.
        let line = "_".repeat(65);
        let double = "=".repeat(65);
        let rows = [
            "vgg16 (Model)                (None, 7, 7, 512)         14714688  ",
            "flatten_1 (Flatten)          (None, 25088)             0         ",
            "dense_1 (Dense)              (None, 512)               12845568  ",
            "dropout_1 (Dropout)          (None, 512)               0         ",
            "dense_2 (Dense)              (None, 256)               131328    ",
            "dense_3 (Dense)              (None, 1)                 257       ",
        ];
        let expected = format!(
            "Model: \"sequential_1\"\n{line}\n\
             Layer (type)                 Output Shape              Param #   \n{double}\n{}\n{double}\n\
             Total params: 27,691,841\nTrainable params: 27,691,841\nNon-trainable params: 0\n{line}\n",
            rows.join(&format!("\n{line}\n"))
        );
        assert_eq!(Architecture::default().summary(false), expected);
    }

    #[test]
    fn a_frozen_base_is_non_trainable_in_the_summary() {
        let text = Architecture::default().summary(true);
        assert!(
            text.contains("Trainable params: 12,977,153\nNon-trainable params: 14,714,688\n"),
            "{text}"
        );
    }

    #[test]
    fn display_is_figure_11_to_the_letter() {
        let expected = "\
VGG(
  (features): Sequential(
    (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (1): ReLU(inplace=True)
    (2): Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (3): ReLU(inplace=True)
    (4): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (5): Conv2d(64, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (6): ReLU(inplace=True)
    (7): Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (8): ReLU(inplace=True)
    (9): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (10): Conv2d(128, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (11): ReLU(inplace=True)
    (12): Conv2d(256, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (13): ReLU(inplace=True)
    (14): Conv2d(256, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (15): ReLU(inplace=True)
    (16): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (17): Conv2d(256, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (18): ReLU(inplace=True)
    (19): Conv2d(512, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (20): ReLU(inplace=True)
    (21): Conv2d(512, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (22): ReLU(inplace=True)
    (23): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (24): Conv2d(512, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (25): ReLU(inplace=True)
    (26): Conv2d(512, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (27): ReLU(inplace=True)
    (28): Conv2d(512, 512, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (29): ReLU(inplace=True)
    (30): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(7, 7))
  (classifier): Sequential(
    (0): Linear(in_features=25088, out_features=4096, bias=True)
    (1): ReLU(inplace=True)
    (2): Dropout(p=0.5, inplace=False)
    (3): Linear(in_features=4096, out_features=2, bias=True)
  )
)";
        let net = Architecture { head: Head::PyTorch, ..Architecture::default() };
        assert_eq!(net.to_string(), expected);
    }
}
