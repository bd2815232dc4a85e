//! Files that PyTorch and Keras wrote. `data/make.py` made them from nets that it has checked to compute the same in
//! both libraries, with PyTorch's weights in `NAME.safetensors`.

use benchbook_backend::Parameters;
use benchbook_nets::{
    Activation, Add, Architecture, BatchNorm, Conv2d, Dense, Flatten, FlattenOrder,
    GlobalAvgPool2d, Graph, LayerNorm, LstmLayer, Net, Node, Padding, Sequential, Shape,
};
use benchbook_weights::{Format, Weights, read, safetensors};
use std::path::{Path, PathBuf};

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn expected(name: &str) -> Parameters {
    safetensors::read(&saved(&format!("{name}.safetensors"))).unwrap().0
}

fn net(graph: Graph) -> Net {
    Net::new(graph).unwrap()
}

/// Three convolutions with one pooling, flattened in PyTorch's order. The first two layers are the base.
fn small() -> Graph {
    let base =
        Sequential::image(3, 6, 4).conv(4, 3).relu().max_pool(2).conv(4, 3).relu().conv(4, 3);
    base.relu().end_base().flatten().dense(5).relu().dense(3).graph()
}

/// Two residual blocks, the second with a convolution in its shortcut.
fn residual() -> Graph {
    let conv = |channels, side| Conv2d { bias: false, ..Conv2d::same(channels, side) };
    let node =
        |name: &str, operation: Conv2d| Node::new(name, operation).keras(name.replace('.', "_"));
    let norm = |name: &str| Node::new(name, BatchNorm::default()).keras(name.replace('.', "_"));
    let relu = |name: &str| Node::new(name, Activation::RELU);
    let nodes = vec![
        node("layer1.0.conv1", conv(3, 3)),
        norm("layer1.0.bn1"),
        relu("relu_1"),
        node("layer1.0.conv2", conv(3, 3)),
        norm("layer1.0.bn2"),
        Node::new("add_1", Add {}).after(["layer1.0.bn2", "input"]),
        relu("relu_2"),
        node("layer1.1.conv1", conv(4, 3)),
        norm("layer1.1.bn1"),
        relu("relu_3"),
        node("layer1.1.conv2", conv(4, 3)),
        norm("layer1.1.bn2"),
        node("layer1.1.downsample.0", conv(4, 1)).after(["relu_2"]),
        norm("layer1.1.downsample.1"),
        Node::new("add_2", Add {}).after(["layer1.1.bn2", "layer1.1.downsample.1"]),
        relu("relu_4"),
        Node::new("pool", GlobalAvgPool2d {}),
        Node::new("fc", Dense::new(3)),
    ];
    Graph { nodes, base: 17, ..Sequential::image(3, 4, 4).named("residual").graph() }
}

/// Groups, a depthwise convolution, both normalisations, and the flattening in either order.
fn mixed(order: FlattenOrder) -> Graph {
    let padding = Padding { top: 1, bottom: 1, ..Padding::default() };
    let nodes = vec![
        Node::new("features.0", Conv2d { kernel: [3, 1], padding, ..Conv2d::valid(4, 3) })
            .keras("block1_conv1"),
        Node::new("features.1", BatchNorm { epsilon: 1e-3, momentum: 0.01 }).keras("block1_bn"),
        Node::new("features.2", Activation::RELU),
        Node::new("features.3", Conv2d { groups: 4, ..Conv2d::valid(4, 3) })
            .keras("block1_depthwise"),
        Node::new("features.4", Conv2d { groups: 2, bias: false, ..Conv2d::valid(6, 1) })
            .keras("block1_groups"),
        Node::new("flatten", Flatten { order }),
        Node::new("norm", LayerNorm { epsilon: 1e-3 }),
        Node::new("fc", Dense::new(2)),
    ];
    Graph {
        nodes,
        base: 5,
        input: Shape::Map([2, 3, 4]),
        ..Sequential::vector(1).named("mixed").graph()
    }
}

/// An LSTM and a GRU over the rows, without a base.
fn recurrent() -> Graph {
    let lstm = LstmLayer { units: 3, return_sequences: true };
    Sequential::image(2, 3, 4).rows().layer(lstm).gru(2).dense(3).graph()
}

fn loaded(name: &str, graph: Graph) -> Weights {
    read(&saved(name), &net(graph)).unwrap_or_else(|wrong| panic!("{name}: {wrong}"))
}

#[test]
fn every_form_of_a_net_gives_the_same_weights() {
    use Format::{KerasArchive, KerasHdf5, PyTorch, Safetensors};
    let pytorch = || mixed(FlattenOrder::ChannelHeightWidth);
    for (graph, files) in [
        (
            small as fn() -> Graph,
            &[
                ("small.safetensors", Safetensors),
                ("small.pth", PyTorch),
                ("small-parallel.pth", PyTorch),
                ("small-compiled.pth", PyTorch),
                ("small-lightning.ckpt", PyTorch),
                ("small.h5", KerasHdf5),
                ("small.weights.h5", KerasHdf5),
                ("small.keras", KerasArchive),
            ][..],
        ),
        (
            residual,
            &[
                ("residual.safetensors", Safetensors),
                ("residual.pth", PyTorch),
                ("residual-parallel.pth", PyTorch),
                ("residual.weights.h5", KerasHdf5),
            ],
        ),
        (
            recurrent,
            &[
                ("recurrent.safetensors", Safetensors),
                ("recurrent.pth", PyTorch),
                ("recurrent.h5", KerasHdf5),
                ("recurrent.weights.h5", KerasHdf5),
                ("recurrent.keras", KerasArchive),
            ],
        ),
        (
            pytorch,
            &[
                ("mixed.safetensors", Safetensors),
                ("mixed.h5", KerasHdf5),
                ("mixed.weights.h5", KerasHdf5),
                ("mixed.keras", KerasArchive),
                ("mixed-3.0.keras", KerasArchive),
            ],
        ),
    ] {
        for (name, format) in files {
            let weights = loaded(name, graph());
            assert_eq!(weights.format, *format, "{name}");
            assert_eq!(weights.left_out, None, "{name}");
            let stem = name.split(['.', '-']).next().unwrap();
            assert_eq!(weights.parameters, expected(stem), "{name}");
        }
    }
}

#[test]
fn a_second_bias_that_cannot_be_added_to_the_first_is_refused() {
    let wrong = read(&saved("recurrent-second.weights.h5"), &net(recurrent())).unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("`gru_1`") && text.contains("got 0.5 in its last third"), "{text}");
}

#[test]
fn in_keras_order_the_dense_layer_is_as_keras_has_it() {
    let keras = loaded("mixed.weights.h5", mixed(FlattenOrder::HeightWidthChannel)).parameters;
    let pytorch = expected("mixed");
    let weight = |parameters: &Parameters| parameters.arrays["fc.weight"].values.clone();
    assert_ne!(weight(&keras), weight(&pytorch));
    // The map is [6, 1, 2]: PyTorch's input `channel · 2 + column` is Keras' `column · 6 + channel`.
    for (output, channel, column) in [(0, 0, 1), (1, 3, 0), (1, 5, 1)] {
        let at = |index: usize| output * 12 + index;
        assert_eq!(
            weight(&keras)[at(column * 6 + channel)],
            weight(&pytorch)[at(channel * 2 + column)]
        );
    }
}

#[test]
fn a_file_of_the_base_alone_gives_the_base() {
    let weights = loaded("mixed-notop.weights.h5", mixed(FlattenOrder::ChannelHeightWidth));
    assert_eq!(weights.left_out, None);
    let mut base = expected("mixed");
    base.arrays.retain(|name, _| name.starts_with("features"));
    assert_eq!(weights.parameters, base);
}

#[test]
fn another_number_of_classes_leaves_out_the_head_and_says_so() {
    let weights = loaded("residual-ten.pth", residual());
    assert!(weights.parameters.arrays.keys().all(|name| name.starts_with("layer1")));
    let text = weights.left_out.unwrap().to_string();
    assert!(text.contains("`fc.weight` [10, 4]") && text.contains("`fc.weight` [3, 4]"), "{text}");
    // Without a base there is nothing to keep.
    let wrong =
        read(&saved("residual-ten.pth"), &net(Graph { base: 0, ..residual() })).unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("`fc.weight` [3, 4] has the shape [10, 4]"), "{text}");
    // The same of Keras, whose layers have the names of another model.
    let mut four = small();
    four.nodes.last_mut().unwrap().operation = Dense::new(4).into();
    let weights = loaded("small.weights.h5", four);
    assert_eq!(weights.parameters.arrays.len(), 6);
    assert!(weights.left_out.unwrap().to_string().contains("[3, 5]"));
}

#[test]
fn equal_layers_beside_each_other_without_names_are_refused() {
    let wrong = read(&saved("residual-unnamed.weights.h5"), &net(residual())).unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("neither follows the other") && text.contains("`Node::keras`"), "{text}");
    assert!(text.contains("`layer1.1.downsample.1`"), "{text}");
}

#[test]
fn another_nets_file_is_refused_with_the_first_missing_and_the_first_surplus_tensor() {
    for (name, parts) in [
        (
            "small.pth",
            ["lacks `layer1.0.conv1.weight` [3, 3, 3, 3]", "no `conv2d_1.weight` [4, 3, 3, 3]"],
        ),
        (
            "small.weights.h5",
            [
                "lacks `layer1.0.conv1.weight` [3, 3, 3, 3]",
                "no `layers/conv2d/weight` [4, 3, 3, 3]",
            ],
        ),
        ("mixed.keras", ["lacks `layer1.0.conv1.weight` [3, 3, 3, 3]", "[4, 2, 3, 1]"]),
    ] {
        let text = read(&saved(name), &net(residual())).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)) && text.contains(name), "{text}");
    }
    // A layer less, and a layer more, of equal shapes.
    let with = |convolutions: usize| {
        let mut sequential = Sequential::image(3, 6, 4).conv(4, 3).max_pool(2);
        for _ in 1..convolutions {
            sequential = sequential.conv(4, 3);
        }
        net(sequential.end_base().flatten().dense(5).dense(3).graph())
    };
    for name in ["small.weights.h5", "small.keras", "small.h5", "small.pth"] {
        assert!(read(&saved(name), &with(3)).is_ok(), "{name}");
        for convolutions in [2, 4] {
            let text = read(&saved(name), &with(convolutions)).unwrap_err().to_string();
            assert!(text.contains("conv2d"), "{name}: {text}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]
    #[test]
    fn changed_bytes_never_panic(
        name in proptest::sample::select(vec![
            "small.pth", "small.h5", "small.weights.h5", "small.keras", "small.safetensors", "mixed.keras", "gzip.h5",
            "recurrent.pth", "recurrent.h5", "recurrent.weights.h5", "recurrent.keras",
        ]),
        changes in proptest::collection::vec((0_usize..40_000, 0_u8..=255), 1..12),
        cut in 0_usize..2,
    ) {
        let mut bytes = std::fs::read(saved(name)).unwrap();
        let length = bytes.len();
        for (at, value) in changes {
            bytes[at % length] = value;
        }
        bytes.truncate(length - cut * (length / 7));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for graph in [small(), recurrent(), mixed(FlattenOrder::ChannelHeightWidth)] {
            let _ = read(&path, &net(graph));
        }
    }
}
