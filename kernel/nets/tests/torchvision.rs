//! The architectures against torchvision 0.26: the printed form, and the names and shapes of all parameters. The files
//! are made by `environment/originals/printed.py`.

use benchbook_nets::{
    AlexNet, Architecture, MobileNetV2, Net, Parameter, ResNet18, ResNet34, ResNet50, Vgg,
};

/// The printed form, and a line for each parameter.
fn expected(text: &str) -> (&str, Vec<&str>) {
    let (printed, parameters) = text.split_once("\n\n").unwrap();
    (printed, parameters.lines().collect())
}

fn lines<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> Vec<String> {
    parameters.map(|parameter| format!("{} {:?}", parameter.name, parameter.shape)).collect()
}

fn whole(architecture: impl Architecture, text: &str) {
    let net = Net::new(architecture.graph()).unwrap();
    let (printed, parameters) = expected(text);
    assert_eq!(net.to_string(), printed);
    assert_eq!(lines(net.parameters().iter()), parameters);
}

#[test]
fn nets_print_and_name_their_parameters_as_torchvision() {
    whole(AlexNet::new(10), include_str!("data/alexnet.txt"));
    whole(MobileNetV2::new(10), include_str!("data/mobilenet_v2.txt"));
    whole(ResNet18::new(10), include_str!("data/resnet18.txt"));
    whole(ResNet34::new(10), include_str!("data/resnet34.txt"));
    whole(ResNet50::new(10), include_str!("data/resnet50.txt"));
}

fn vgg<const LAYERS: usize>(batch_norm: bool, text: &str) {
    let net = Net::new(Vgg::<LAYERS> { batch_norm, ..Vgg::default() }.graph()).unwrap();
    let (printed, parameters) = expected(text);
    let base = printed.strip_suffix(")").unwrap();
    assert!(net.to_string().starts_with(base), "{net}\n{base}");
    assert_eq!(lines(net.parameters().iter().filter(|p| p.in_base)), parameters);
}

#[test]
fn the_convolutions_of_vgg_are_printed_and_named_as_torchvisions() {
    vgg::<11>(false, include_str!("data/vgg11.txt"));
    vgg::<13>(true, include_str!("data/vgg13_bn.txt"));
    vgg::<16>(false, include_str!("data/vgg16.txt"));
    vgg::<16>(true, include_str!("data/vgg16_bn.txt"));
    vgg::<19>(false, include_str!("data/vgg19.txt"));
}
