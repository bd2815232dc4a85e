//! Trains a small net on colours in memory, without a kernel, and prints Keras' log, the predictions and the table of the
//! net. `kernel/helper/README.md` has the command.

use benchbook::prelude::*;

fn main() -> Result<(), benchbook::Error> {
    // Red and blue images of 8 × 8 pixels, alternating, in 20 shades.
    let pixel = |sample: usize| match (sample % 2, 0.5 + sample as f32 / 80.0) {
        (0, shade) => [shade, 0.0, 0.0],
        (_, shade) => [0.0, 0.0, shade],
    };
    let values = (0..40).flat_map(|sample| pixel(sample).into_iter().flat_map(|value| [value; 64]));
    let labels = (0..40).map(|sample| sample % 2).collect();
    let data = Arrays::new(values.collect(), [3, 8, 8], labels, ["red", "blue"])?;

    let net = Sequential::image(3, 8, 8).flatten().dense(8).relu().dense(2);
    let mut model = Model::build(net, &data, Build { seed: 1, ..Build::default() })?;
    let fit = Fit { epochs: 5, batch_size: 8, learning_rate: Some(0.01), ..Fit::default() };
    model.fit_with(&data, fit, &mut KerasLog::new(std::io::stdout()))?;
    println!("{}\n{}", model.predict(&data.validation())?, model.summary());
    Ok(())
}
