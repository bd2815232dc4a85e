//! The toy backend computes what PyTorch's Python computed, and says what it cannot compute.

use benchbook_toy::Toy;
use std::collections::BTreeMap;

#[test]
fn the_toy_passes_the_conformance_suite_and_has_a_reason_for_what_it_lacks() {
    let unsupported = benchbook_conformance::run(&Toy);
    let reasons: BTreeMap<&str, &str> =
        unsupported.iter().map(|case| (case.case.as_str(), case.reason.as_str())).collect();
    for (case, lacks) in [
        ("activation_gelu", "the activation Gelu"),
        ("adaptive_avg_pool", "AdaptiveAvgPool2d"),
        ("avg_pool", "AveragePooling2D"),
        ("batch_norm", "BatchNormalization"),
        ("conv_groups", "convolutions in groups"),
        ("global_avg_pool", "GlobalAveragePooling2D"),
        ("layer_norm", "LayerNormalization"),
        ("lstm", "Reshape"),
    ] {
        assert_eq!(reasons.get(case).copied(), Some(format!("it does not have {lacks}").as_str()));
    }
    let computed =
        ["conv_asymmetric", "dropout_twice", "max_pool_padded", "small_cnn_10", "vgg_one_logit"];
    assert!(computed.iter().all(|case| !reasons.contains_key(case)), "{reasons:?}");
    assert!(reasons.values().all(|reason| reason.starts_with("it does not have ")), "{reasons:?}");
}
