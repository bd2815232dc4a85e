//! Prints the suite's graphs as JSON, with their shapes, parameters and dropout masks: the input of
//! `environment/originals/conformance.py`, which computes the stored values.

use benchbook_backend::dropout_mask;
use benchbook_conformance::{BATCH, SEED, STEPS};
use benchbook_nets::{
    Activation, AdaptiveAvgPool2d, Add, Architecture, AvgPool2d, BatchNorm, Concat, Conv2d, Dense,
    Dropout, Flatten, FlattenOrder, Function, GlobalAvgPool2d, Graph, Gru, GruLayer, Lstm,
    LstmLayer, MaxPool2d, Mlp, Net, Node, Operation, Padding, Sequential, SmallCnn, Upsample,
};
use serde_json::json;

fn image() -> Sequential {
    Sequential::image(2, 6, 5)
}

/// One operation after a convolution whose values have both signs, and a head with three logits.
fn on_map(operation: impl Into<Operation>) -> Graph {
    image().conv(4, 3).layer(operation).flatten().dense(3).graph()
}

fn on_vector(operation: impl Into<Operation>) -> Graph {
    Sequential::vector(6).dense(5).layer(operation).dense(3).graph()
}

fn nodes(input: Sequential, nodes: Vec<Node>, base: usize) -> Graph {
    Graph { nodes, base, ..input.graph() }
}

fn conv(channels: usize, side: usize, stride: usize) -> Conv2d {
    let padding = Padding::all(side / 2);
    Conv2d { stride: [stride; 2], padding, bias: false, ..Conv2d::valid(channels, side) }
}

fn flat(order: FlattenOrder) -> Node {
    Node::new("flat", Flatten { order })
}

fn add() -> Graph {
    let sum = Node::new("sum", Add {}).after(["one", "two", "three"]);
    let of_input = |name: &str, side| Node::new(name, Conv2d::same(3, side)).after(["input"]);
    let ends = [sum, Node::new("relu", Activation::RELU), flat(Default::default())];
    let mut list: Vec<Node> = vec![of_input("one", 3), of_input("two", 1), of_input("three", 3)];
    list.extend(ends);
    list.push(Node::new("logits", Dense::new(3)));
    nodes(image(), list, 0)
}

fn concat() -> Graph {
    let of_input =
        |name: &str, channels| Node::new(name, Conv2d::same(channels, 3)).after(["input"]);
    let list = vec![
        of_input("one", 1),
        of_input("two", 3),
        Node::new("both", Concat {}).after(["two", "one"]),
        flat(Default::default()),
        Node::new("left", Dense::new(2)).after(["flat"]),
        Node::new("right", Dense::new(3)).after(["flat"]),
        Node::new("vectors", Concat {}).after(["right", "left"]),
        Node::new("logits", Dense::new(3)),
    ];
    nodes(image(), list, 0)
}

fn resnet() -> Graph {
    let pool = MaxPool2d { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
    let list = vec![
        Node::new("conv1", conv(4, 3, 1)),
        Node::new("bn1", BatchNorm::default()),
        Node::new("relu", Activation::RELU),
        Node::new("maxpool", pool),
        Node::new("a.conv1", conv(4, 3, 1)),
        Node::new("a.bn1", BatchNorm::default()),
        Node::new("a.relu", Activation::RELU),
        Node::new("a.conv2", conv(4, 3, 1)),
        Node::new("a.bn2", BatchNorm::default()),
        Node::new("a.add", Add {}).after(["a.bn2", "maxpool"]),
        Node::new("a.relu_2", Activation::RELU),
        Node::new("b.conv1", conv(6, 3, 2)),
        Node::new("b.bn1", BatchNorm::default()),
        Node::new("b.relu", Activation::RELU),
        Node::new("b.conv2", conv(6, 3, 1)),
        Node::new("b.bn2", BatchNorm::default()),
        Node::new("b.downsample.0", conv(6, 1, 2)).after(["a.relu_2"]),
        Node::new("b.downsample.1", BatchNorm::default()),
        Node::new("b.add", Add {}).after(["b.bn2", "b.downsample.1"]),
        Node::new("b.relu_2", Activation::RELU),
        Node::new("avgpool", AdaptiveAvgPool2d { output: [1, 1] }),
        flat(Default::default()),
        Node::new("fc", Dense::new(3)),
    ];
    nodes(Sequential::image(3, 10, 10), list, 21)
}

/// ResNet50's block with a stride and a projection.
fn bottleneck() -> Graph {
    let list = vec![
        Node::new("conv1", conv(4, 3, 1)),
        Node::new("bn1", BatchNorm::default()),
        Node::new("relu", Activation::RELU),
        Node::new("a.conv1", conv(3, 1, 1)),
        Node::new("a.bn1", BatchNorm::default()),
        Node::new("a.relu_1", Activation::RELU),
        Node::new("a.conv2", conv(3, 3, 2)),
        Node::new("a.bn2", BatchNorm::default()),
        Node::new("a.relu_2", Activation::RELU),
        Node::new("a.conv3", conv(8, 1, 1)),
        Node::new("a.bn3", BatchNorm::default()),
        Node::new("a.downsample.0", conv(8, 1, 2)).after(["relu"]),
        Node::new("a.downsample.1", BatchNorm::default()),
        Node::new("a.add", Add {}).after(["a.bn3", "a.downsample.1"]),
        Node::new("a.relu", Activation::RELU),
        Node::new("avgpool", GlobalAvgPool2d {}),
        Node::new("fc", Dense::new(3)),
    ];
    nodes(Sequential::image(3, 8, 8), list, 16)
}

/// MobileNetV2's blocks: one with a stride, one with a shortcut. The shortcut is last, since a bias between two batch
/// normalisations without one would have a gradient of nothing but rounding.
fn inverted_residuals() -> Graph {
    let depthwise = |channels, stride| Conv2d { groups: channels, ..conv(channels, 3, stride) };
    let mut list = Vec::new();
    for (name, convolution) in [
        ("first", conv(4, 3, 1)),
        ("a.expand", conv(12, 1, 1)),
        ("a.depthwise", depthwise(12, 2)),
        ("a.project", conv(6, 1, 1)),
        ("b.expand", conv(12, 1, 1)),
        ("b.depthwise", depthwise(12, 1)),
        ("b.project", conv(6, 1, 1)),
    ] {
        list.push(Node::new(name, convolution));
        list.push(Node::new(format!("{name}.bn"), BatchNorm::default()));
        if !name.ends_with(".project") {
            let relu6 = Activation { function: Function::Relu6 };
            list.push(Node::new(format!("{name}.relu6"), relu6));
        }
    }
    list.push(Node::new("b.add", Add {}).after(["b.project.bn", "a.project.bn"]));
    let base = list.len();
    list.push(Node::new("pool", GlobalAvgPool2d {}));
    list.push(Node::new("dropout", Dropout { rate: 0.2 }));
    list.push(Node::new("fc", Dense::new(3)));
    nodes(Sequential::image(3, 8, 8), list, base)
}

fn recurrent_stack() -> Graph {
    image()
        .conv(4, 3)
        .rows()
        .layer(LstmLayer { units: 4, return_sequences: true })
        .dropout(0.25)
        .layer(GruLayer { units: 3, return_sequences: true })
        .flatten()
        .dense(3)
        .graph()
}

fn vgg(outputs: usize) -> Graph {
    Sequential::image(3, 8, 8)
        .conv(4, 3)
        .relu()
        .max_pool(2)
        .conv(6, 3)
        .relu()
        .max_pool(2)
        .end_base()
        .layer(Flatten { order: FlattenOrder::HeightWidthChannel })
        .dense(8)
        .relu()
        .dropout(0.5)
        .dense(outputs)
        .graph()
}

fn cases() -> Vec<(String, Graph, bool)> {
    let asymmetric = Padding::from([0, 1, 2, 1]);
    let valid = Conv2d::valid(4, 3);
    let max = |kernel, stride, padding: Padding| MaxPool2d { kernel, stride, padding };
    let average = |kernel, stride, padding: Padding| AvgPool2d { kernel, stride, padding };
    let batch_norm = BatchNorm { epsilon: 1e-3, momentum: 0.25 };
    let after = |first: Conv2d| image().layer(first).relu().flatten().dense(3).graph();
    let two_dropouts = image().conv(4, 3).dropout(0.25).flatten().dropout(0.5).dense(3);
    let functions = [
        ("relu", Function::Relu),
        ("relu6", Function::Relu6),
        ("leaky_relu", Function::LeakyRelu),
        ("elu", Function::Elu),
        ("gelu", Function::Gelu),
        ("silu", Function::Silu),
        ("sigmoid", Function::Sigmoid),
        ("tanh", Function::Tanh),
    ];
    let normalized =
        || Sequential::image(2, 6, 5).layer(conv(4, 3, 1)).layer(batch_norm.clone()).relu();
    // Without a bias, whose gradient before a batch normalisation is nothing but rounding.
    let first = Dense { bias: false, units: 5 };
    let normalized_vector = Sequential::vector(6).layer(first).layer(batch_norm.clone()).dense(3);
    let mut cases = vec![
        ("conv", after(Conv2d::same(4, 3)), false),
        ("conv_stride", after(Conv2d { stride: [2, 1], ..valid.clone() }), false),
        (
            "conv_asymmetric",
            after(Conv2d { stride: [2, 2], padding: asymmetric, ..valid.clone() }),
            false,
        ),
        ("conv_rectangular", after(Conv2d { kernel: [1, 4], ..valid.clone() }), false),
        ("conv_groups", after(Conv2d { groups: 2, ..Conv2d::same(4, 3) }), false),
        ("conv_no_bias", after(conv(4, 3, 1)), false),
        ("max_pool", on_map(MaxPool2d::square(2)), false),
        ("max_pool_padded", on_map(max([3, 3], [2, 2], Padding::all(1))), false),
        ("max_pool_asymmetric", on_map(max([2, 3], [2, 1], [1, 0, 0, 1].into())), false),
        ("avg_pool", on_map(average([2, 2], [2, 2], Padding::default())), false),
        ("avg_pool_padded", on_map(average([3, 3], [2, 2], Padding::all(1))), false),
        ("avg_pool_asymmetric", on_map(average([2, 3], [2, 1], asymmetric)), false),
        ("adaptive_avg_pool", on_map(AdaptiveAvgPool2d { output: [3, 5] }), false),
        ("adaptive_avg_pool_overlapping", on_map(AdaptiveAvgPool2d { output: [4, 3] }), false),
        ("adaptive_avg_pool_larger", on_map(AdaptiveAvgPool2d { output: [7, 7] }), false),
        ("global_avg_pool", image().conv(4, 3).relu().global_avg_pool().dense(3).graph(), false),
        ("batch_norm", normalized().flatten().dense(3).graph(), false),
        (
            "batch_norm_frozen",
            normalized().end_base().flatten().dropout(0.5).dense(3).graph(),
            true,
        ),
        ("batch_norm_vector", normalized_vector.graph(), false),
        ("layer_norm", on_vector(benchbook_nets::LayerNorm::default()), false),
        ("add", add(), false),
        ("concat", concat(), false),
        ("flatten_channels_first", on_map(Activation::RELU), false),
        (
            "flatten_channels_last",
            image()
                .conv(4, 3)
                .layer(Flatten { order: FlattenOrder::HeightWidthChannel })
                .dense(3)
                .graph(),
            false,
        ),
        ("dropout", on_vector(Dropout { rate: 0.25 }), false),
        ("dropout_twice", two_dropouts.graph(), false),
        ("dense_no_bias", on_vector(Dense { bias: false, units: 4 }), false),
        ("one_logit", Sequential::vector(6).dense(5).relu().dense(1).graph(), false),
        ("upsample", on_map(Upsample { scale: [2, 3] }), false),
        ("vgg", vgg(3), false),
        ("vgg_one_logit", vgg(1), false),
        ("vgg_frozen", vgg(3), true),
        ("resnet", resnet(), false),
        ("resnet_frozen", resnet(), true),
        ("small_cnn_3", SmallCnn { size: 16, ..SmallCnn::new(3) }.graph(), false),
        ("small_cnn_10", SmallCnn { size: 16, ..SmallCnn::new(10) }.graph(), false),
        ("bottleneck", bottleneck(), false),
        ("inverted_residuals", inverted_residuals(), false),
        ("mlp", Mlp { size: 4, units: 6, ..Mlp::new(3) }.graph(), false),
        ("lstm", Lstm { size: 6, units: 5, ..Lstm::new(3) }.graph(), false),
        ("lstm_frozen", Lstm { size: 4, units: 5, ..Lstm::new(3) }.graph(), true),
        ("lstm_one_step", Sequential::image(2, 1, 5).rows().lstm(4).dense(3).graph(), false),
        ("gru", Gru { size: 6, units: 5, ..Gru::new(3) }.graph(), false),
        ("gru_one_logit", Gru { size: 4, units: 5, ..Gru::new(1) }.graph(), false),
        ("gru_one_step", Sequential::image(2, 1, 5).rows().gru(4).dense(3).graph(), false),
        ("recurrent_stack", recurrent_stack(), false),
    ]
    .into_iter()
    .map(|(name, graph, frozen)| (name.to_owned(), graph, frozen))
    .collect::<Vec<_>>();
    for (name, function) in functions {
        cases.push((format!("activation_{name}"), on_vector(Activation { function }), false));
    }
    cases
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut list = Vec::new();
    for (name, graph, frozen) in cases() {
        let net = Net::new(graph.clone())?;
        let masks = |step: usize| -> Vec<Vec<f32>> {
            let mask = |(ordinal, layer): (usize, usize)| {
                let layer = &net.layers()[layer];
                let Operation::Dropout(Dropout { rate }) = layer.operation else { unreachable!() };
                dropout_mask(BATCH * layer.output.len(), rate, SEED + step as u64, ordinal)
            };
            net.dropouts().enumerate().map(mask).collect()
        };
        let masks: Vec<_> = (0..STEPS).map(masks).collect();
        list.push(
            json!({"name": name, "graph": graph, "net": net, "frozen": frozen, "masks": masks}),
        );
    }
    let all = json!({"batch": BATCH, "steps": STEPS, "seed": SEED, "cases": list});
    println!("{}", serde_json::to_string(&all)?);
    Ok(())
}
