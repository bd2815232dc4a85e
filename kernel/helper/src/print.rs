//! The print macros of cells.
//!
//! They send at once, so partial lines appear live and standard output, standard error and rich outputs
//! keep the order of the code. Prints of other crates go through pipes. The literal arms catch prints of
//! evcxr's code around a cell.

/// `print!` into the notebook.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        $crate::worker::print($crate::worker::STDOUT, ::std::format_args!($($arguments)*))
    };
}

/// `println!` into the notebook.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ("EVCXR_PANIC_NOTIFICATION") => { $crate::worker::panic_reached_top() };
    ("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED) => { $crate::worker::error_reached_top() };
    ($($arguments:tt)*) => {
        $crate::worker::print($crate::worker::STDOUT, ::std::format_args!("{}\n", ::std::format_args!($($arguments)*)))
    };
}

/// `eprint!` into the notebook.
#[macro_export]
macro_rules! eprint {
    ($($arguments:tt)*) => {
        $crate::worker::print($crate::worker::STDERR, ::std::format_args!($($arguments)*))
    };
}

/// `eprintln!` into the notebook.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ("{:?}", $value:ident) => { $crate::__eprintln_held!("{:?}", $value $value) };
    ("{:#?}", $value:ident) => { $crate::__eprintln_held!("{:#?}", $value $value) };
    ("{}", $value:ident) => { $crate::__eprintln_held!("{}", $value $value) };
    ($($arguments:tt)*) => {
        $crate::worker::print($crate::worker::STDERR, ::std::format_args!("{}\n", ::std::format_args!($($arguments)*)))
    };
}

/// Holds back evcxr's print of a failing `?`, whose error evcxr calls `error`.
#[doc(hidden)]
#[macro_export]
macro_rules! __eprintln_held {
    ($format:literal, error $value:ident) => {
        $crate::worker::hold_back(&$value, ::std::format!(::std::concat!($format, "\n"), $value))
    };
    ($format:literal, $name:ident $value:ident) => {
        $crate::worker::print(
            $crate::worker::STDERR,
            ::std::format_args!(::std::concat!($format, "\n"), $value),
        )
    };
}
