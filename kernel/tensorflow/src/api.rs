//! The functions of TensorFlow's C API that are used, as `tensorflow/c/c_api.h` declares them.

use crate::library::LoadError;
use std::ffi::{c_char, c_float, c_int, c_uchar, c_void};
use std::path::Path;

/// Opaque types.
macro_rules! opaque {
    ($($name:ident)*) => { $(#[repr(C)] pub(crate) struct $name { _private: [u8; 0] })* };
}

opaque! {
    TF_Buffer TF_DeviceList TF_Graph TF_Operation TF_OperationDescription TF_Session
    TF_SessionOptions TF_Status TF_Tensor
}

/// One output of an operation (`TF_Output`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Output {
    pub(crate) operation: *mut TF_Operation,
    pub(crate) index: c_int,
}

/// One input of an operation (`TF_Input`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Input {
    pub(crate) operation: *mut TF_Operation,
    pub(crate) index: c_int,
}

/// `TF_OK` of `TF_Code`.
pub(crate) const OK: c_int = 0;

/// The values of `TF_DataType` that are used.
pub(crate) const FLOAT: c_int = 1;
pub(crate) const DOUBLE: c_int = 2;
pub(crate) const INT32: c_int = 3;

macro_rules! functions {
    ($(fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The addresses of the functions.
        #[allow(non_snake_case)]
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Api {
            /// Looks each function up by its name.
            pub(crate) fn bind(library: &libloading::Library, path: &Path) -> Result<Self, LoadError> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is the one that c_api.h declares for this name; the library
                        // stays open as long as the process lives.
                        let symbol = unsafe { library.get(stringify!($name).as_bytes()) };
                        *symbol.map_err(|source| LoadError::Symbol {
                            path: path.into(),
                            symbol: stringify!($name),
                            source,
                        })?
                    },)*
                })
            }
        }
    };
}

functions! {
    fn TF_Version() -> *const c_char;
    fn TF_NewStatus() -> *mut TF_Status;
    fn TF_DeleteStatus(*mut TF_Status);
    fn TF_GetCode(*const TF_Status) -> c_int;
    fn TF_Message(*const TF_Status) -> *const c_char;

    fn TF_AllocateTensor(c_int, *const i64, c_int, usize) -> *mut TF_Tensor;
    fn TF_DeleteTensor(*mut TF_Tensor);
    fn TF_TensorType(*const TF_Tensor) -> c_int;
    fn TF_NumDims(*const TF_Tensor) -> c_int;
    fn TF_Dim(*const TF_Tensor, c_int) -> i64;
    fn TF_TensorByteSize(*const TF_Tensor) -> usize;
    fn TF_TensorData(*const TF_Tensor) -> *mut c_void;

    fn TF_NewGraph() -> *mut TF_Graph;
    fn TF_DeleteGraph(*mut TF_Graph);
    fn TF_NewOperation(*mut TF_Graph, *const c_char, *const c_char) -> *mut TF_OperationDescription;
    fn TF_AddInput(*mut TF_OperationDescription, Output);
    fn TF_AddInputList(*mut TF_OperationDescription, *const Output, c_int);
    fn TF_AddControlInput(*mut TF_OperationDescription, *mut TF_Operation);
    fn TF_SetAttrString(*mut TF_OperationDescription, *const c_char, *const c_void, usize);
    fn TF_SetAttrInt(*mut TF_OperationDescription, *const c_char, i64);
    fn TF_SetAttrIntList(*mut TF_OperationDescription, *const c_char, *const i64, c_int);
    fn TF_SetAttrFloat(*mut TF_OperationDescription, *const c_char, c_float);
    fn TF_SetAttrBool(*mut TF_OperationDescription, *const c_char, c_uchar);
    fn TF_SetAttrType(*mut TF_OperationDescription, *const c_char, c_int);
    fn TF_SetAttrShape(*mut TF_OperationDescription, *const c_char, *const i64, c_int);
    fn TF_SetAttrTensor(*mut TF_OperationDescription, *const c_char, *mut TF_Tensor, *mut TF_Status);
    fn TF_FinishOperation(*mut TF_OperationDescription, *mut TF_Status) -> *mut TF_Operation;
    fn TF_OperationOpType(*mut TF_Operation) -> *const c_char;
    fn TF_OperationNumInputs(*mut TF_Operation) -> c_int;
    fn TF_OperationInput(Input) -> Output;
    fn TF_OperationOutputNumConsumers(Output) -> c_int;
    fn TF_OperationOutputConsumers(Output, *mut Input, c_int) -> c_int;
    fn TF_UpdateEdge(*mut TF_Graph, Output, Input, *mut TF_Status);
    fn TF_AddGradients(*mut TF_Graph, *mut Output, c_int, *mut Output, c_int, *mut Output, *mut TF_Status, *mut Output);

    fn TF_NewSessionOptions() -> *mut TF_SessionOptions;
    fn TF_SetConfig(*mut TF_SessionOptions, *const c_void, usize, *mut TF_Status);
    fn TF_DeleteSessionOptions(*mut TF_SessionOptions);
    fn TF_NewSession(*mut TF_Graph, *const TF_SessionOptions, *mut TF_Status) -> *mut TF_Session;
    fn TF_CloseSession(*mut TF_Session, *mut TF_Status);
    fn TF_DeleteSession(*mut TF_Session, *mut TF_Status);
    fn TF_SessionRun(
        *mut TF_Session,
        *const TF_Buffer,
        *const Output, *const *mut TF_Tensor, c_int,
        *const Output, *mut *mut TF_Tensor, c_int,
        *const *mut TF_Operation, c_int,
        *mut TF_Buffer,
        *mut TF_Status
    );
    fn TF_SessionListDevices(*mut TF_Session, *mut TF_Status) -> *mut TF_DeviceList;
    fn TF_DeviceListCount(*const TF_DeviceList) -> c_int;
    fn TF_DeviceListType(*const TF_DeviceList, c_int, *mut TF_Status) -> *const c_char;
    fn TF_DeleteDeviceList(*mut TF_DeviceList);
}
