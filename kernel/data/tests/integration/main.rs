//! Folders, files and loaders as a notebook uses them, on real JPEG files.

mod arrays;
mod bad_files;
mod batches;
mod caches;
mod damage;
mod folders;
mod formats;
mod hostile;
mod layouts;
mod photos;
mod pictures;
mod shown;
