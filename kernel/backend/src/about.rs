//! The description of a library, known before it is opened.

/// A library's names, colour, install command and environment variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The name in jobs and studies, for example `libtorch`.
    pub id: &'static str,
    /// The name in texts and charts, for example `LibTorch`.
    pub name: &'static str,
    /// The language that calls the library.
    pub language: &'static str,
    /// Red, green and blue of the library's colour in every chart.
    pub colour: [u8; 3],
    /// The command that installs the library.
    pub install: &'static str,
    /// Environment variables that a study sets, so that the library's choices do not depend on the machine. Every process of a
    /// study gets those of all libraries, since runs are compared only if their environments are equal.
    pub variables: &'static [(&'static str, &'static str)],
}
