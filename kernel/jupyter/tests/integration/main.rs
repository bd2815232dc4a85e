//! The layer as a client sees it: an echo evaluator behind it, a scripted frontend before it.

mod echo;
mod fixture;
mod frontend;

mod aborts;
mod channels;
mod code;
mod comms;
mod endings;
mod execute;
mod history;
mod hostile;
mod information;
mod input;
mod interrupts;
mod lagging;
mod outputs;
mod replies;
