//! The container: POSIX.1-1988 `ustar`, which every system unpacks. A header is 512 octets, content is filled up to
//! whole blocks, two empty blocks end it.

/// Octets of a block.
pub const BLOCK: u64 = 512;
/// Octets of the end.
pub const END: u64 = 2 * BLOCK;
/// Longest name that a header takes without its prefix.
const NAME_MAX: usize = 100;

/// Octets from the end of content of this size to the next block.
pub fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

/// Octets that a file of this size takes.
pub fn room(size: u64) -> u64 {
    BLOCK + size + padding(size)
}

/// The header of a file. Names are ours: short, of plain letters. `at` is its instant, milliseconds since 1970.
pub fn header(name: &str, size: u64, at: u64) -> [u8; BLOCK as usize] {
    debug_assert!(name.len() <= NAME_MAX);
    let mut block = [0; BLOCK as usize];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(NAME_MAX)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", at / 1000).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_fills_whole_blocks() {
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
        assert_eq!((room(0), room(1), room(512)), (512, 1024, 1024));
        let block = header("messages/000001.eml", 513, 1_795_674_032_123);
        assert_eq!(&block[257..263], b"ustar\0");
        assert_eq!(&block[124..135], b"00000001001");
    }
}
