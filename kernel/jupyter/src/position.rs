//! Positions in code: Jupyter counts Unicode code points, Rust bytes.

/// The byte offset of code point `count`; the end if there are fewer.
pub(crate) fn to_bytes(code: &str, count: usize) -> usize {
    code.char_indices().nth(count).map_or(code.len(), |(offset, _)| offset)
}

/// The number of code points before the byte `offset`. An offset within a character counts as
/// before it, one beyond the end as the end.
pub(crate) fn to_code_points(code: &str, offset: usize) -> usize {
    code.char_indices().take_while(|(start, found)| start + found.len_utf8() <= offset).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_of_any_width_count_as_one() {
        let code = "aß→🦀z";
        let bytes = [0, 1, 3, 6, 10, 11];
        for (points, offset) in bytes.into_iter().enumerate() {
            assert_eq!(to_bytes(code, points), offset);
            assert_eq!(to_code_points(code, offset), points);
        }
        assert_eq!(to_bytes(code, 99), code.len());
        assert_eq!(to_code_points(code, 99), 5);
        assert_eq!(to_code_points(code, 8), 3, "within the crab");
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same(code in ".*", points in 0usize..64) {
            let offset = to_bytes(&code, points);
            prop_assert!(code.is_char_boundary(offset));
            prop_assert_eq!(to_code_points(&code, offset), points.min(code.chars().count()));
        }
    }
}
