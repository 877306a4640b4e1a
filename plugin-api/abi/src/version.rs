//! Mirror of `version.h`.

/// The major version; also in the name of the entry function.
pub const ABI_MAJOR: u16 = 1;
/// The minor version: grows when members are appended.
pub const ABI_MINOR: u16 = 0;

/// Offset just past a field, for `host_size_required`.
#[macro_export]
macro_rules! end_of {
    ($type:ty, $field:ident) => {{
        const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
            ::core::mem::size_of::<F>()
        }
        ::core::mem::offset_of!($type, $field) + size_of_field(|whole: &$type| &whole.$field)
    }};
}
