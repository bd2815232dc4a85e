// %% [markdown]
// # A short tour
//
// Everything that the next cells name is there from the start.

// %%
let numbers: Vec<f64> = (1..=5).map(|n| f64::from(n).sqrt()).collect();
numbers

// %% [markdown]
// Variables stay for the next cell.

// %%
println!("together {:.3}", numbers.iter().sum::<f64>());
