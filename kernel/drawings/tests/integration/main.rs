//! Data sets as they lie on the disk.

mod folder;
mod kaggle;
mod logistic;
mod regression;
