//! The two printed forms: Keras' table (the report's figure 2) and PyTorch's text (figures 7 and 11).

use crate::net::{Layer, Net, Source};
use crate::operations::Operation;
use crate::shape::Shape;
use std::fmt;

/// Column ends of `model.summary()` in Keras 2: 45%, 85% and 100% of a line of 65 characters.
const COLUMNS: [usize; 3] = [29, 55, 65];

impl Net {
    /// Keras' table of the net, in the form of Keras 2 with the spaces at the ends of its lines. The base is one row, as
    /// a model within a model; with `frozen` its parameters count as non-trainable.
    pub fn summary(&self, frozen: bool) -> String {
        let line = "_".repeat(COLUMNS[2]);
        let mut text = format!("Model: \"sequential_1\"\n{line}\n");
        text += &columns(["Layer (type)", "Output Shape", "Param #"]);
        text += &"=".repeat(COLUMNS[2]);
        text.push('\n');
        text += &self.rows().join(&format!("{line}\n"));
        text += &"=".repeat(COLUMNS[2]);
        let (total, trainable) = self.parameter_counts(frozen);
        text += &format!(
            "\nTotal params: {}\nTrainable params: {}\nNon-trainable params: {}\n{line}\n",
            thousands(total),
            thousands(trainable),
            thousands(total - trainable)
        );
        text
    }

    fn rows(&self) -> Vec<String> {
        let row = |name: &str, class: &str, output: Shape, parameters: usize| {
            let shape = match output {
                Shape::Map([channels, height, width]) => {
                    format!("(None, {height}, {width}, {channels})")
                }
                Shape::Vector([length]) => format!("(None, {length})"),
            };
            columns([&format!("{name} ({class})"), &shape, &parameters.to_string()])
        };
        let count = |layers: &[Layer]| -> usize {
            layers.iter().flat_map(|layer| self.parameters_of(layer)).map(|p| p.len()).sum()
        };
        let (base, head) = self.layers().split_at(self.base());
        let mut rows = Vec::new();
        if let Some(features) = self.features() {
            rows.push(row(self.name(), "Model", features, count(base)));
        }
        for layer in head {
            // Keras writes the activation of a dense or convolutional layer as a part of it.
            if !self.is_fused(layer) {
                let class = layer.operation.rule().keras();
                rows.push(row(
                    &layer.name,
                    class,
                    layer.output,
                    count(std::slice::from_ref(layer)),
                ));
            }
        }
        rows
    }

    fn is_fused(&self, layer: &Layer) -> bool {
        let [Source::Layer(before)] = layer.inputs[..] else { return false };
        matches!(layer.operation, Operation::Activation(_))
            && matches!(self.layers()[before].operation, Operation::Conv2d(_) | Operation::Dense(_))
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
pub fn thousands(number: usize) -> String {
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

/// A module of PyTorch's printed form.
enum Module {
    Leaf(String),
    Group { path: String, children: Vec<(String, Module)> },
}

/// PyTorch's form of the net.
impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut children = Vec::new();
        for layer in self.layers().iter().filter(|layer| !layer.torch.is_empty()) {
            insert(
                &mut children,
                "",
                &layer.torch,
                layer.operation.rule().pytorch(&layer.input_shapes),
            );
        }
        writeln!(f, "{}(", self.graph().class)?;
        self.write(f, &children.iter().collect::<Vec<_>>(), 1)?;
        write!(f, ")")
    }
}

fn insert(children: &mut Vec<(String, Module)>, parent: &str, path: &str, text: String) {
    let Some((first, rest)) = path.split_once('.') else {
        children.push((path.into(), Module::Leaf(text)));
        return;
    };
    let path = if parent.is_empty() { first.to_owned() } else { format!("{parent}.{first}") };
    let place = children.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
        children.push((first.into(), Module::Group { path: path.clone(), children: Vec::new() }));
        children.len() - 1
    });
    if let Module::Group { children, .. } = &mut children[place].1 {
        insert(children, &path, rest, text);
    }
}

impl Net {
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        children: &[&(String, Module)],
        depth: usize,
    ) -> fmt::Result {
        let indent = "  ".repeat(depth);
        for (name, module) in children {
            match module {
                Module::Leaf(text) => writeln!(f, "{indent}({name}): {text}")?,
                Module::Group { path, children } => {
                    let class = self.graph().modules.get(path);
                    let mut children: Vec<_> = children.iter().collect();
                    if class.is_some() {
                        // A block lists its own layers before the modules within.
                        children.sort_by_key(|(_, module)| matches!(module, Module::Group { .. }));
                    }
                    let class = class.map_or("Sequential", String::as_str);
                    writeln!(f, "{indent}({name}): {class}(")?;
                    self.write(f, &children, depth + 1)?;
                    writeln!(f, "{indent})")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Head, Vgg16};

    fn net(vgg: Vgg16) -> Net {
        Net::new(vgg.graph()).unwrap()
    }

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
        assert_eq!(net(Vgg16::new(2)).summary(false), expected);
    }

    #[test]
    fn a_frozen_base_is_non_trainable_in_the_summary() {
        let text = net(Vgg16::new(2)).summary(true);
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
        let net = net(Vgg16 { head: Head::PyTorch, ..Vgg16::new(2) });
        assert_eq!(net.to_string(), expected);
    }
}
