//! Invalid GGUF files.

use elpis_steering::VectorFormat;

use super::parse;

pub(super) struct Gguf(pub(super) Vec<u8>);

impl Gguf {
    pub(super) fn new(tensors: u64, pairs: u64) -> Self {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(pairs.to_le_bytes());
        Self(bytes)
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn architecture(self) -> Self {
        self.text("general.architecture")
            .u32(8)
            .text("controlvector")
    }

    pub(super) fn tensor(self, name: &str, width: u64, kind: u32, offset: u64) -> Self {
        let info = self.text(name).u32(1).u64(width);
        info.u32(kind).u64(offset)
    }

    fn refused(mut self, data: usize) -> &'static str {
        self.0.resize(self.0.len().next_multiple_of(32) + data, 1);
        parse(VectorFormat::Gguf, &self.0).unwrap_err().kind()
    }
}

#[test]
fn hand_made_ggufs_are_refused() {
    let good = || Gguf::new(1, 1).architecture();
    assert_eq!(Gguf::new(u64::MAX, 0).refused(0), "limit_exceeded");
    assert_eq!(Gguf::new(1, u64::MAX).refused(0), "limit_exceeded");
    let cut = parse(VectorFormat::Gguf, &Gguf::new(1, 2).architecture().0).unwrap_err();
    assert_eq!(cut.kind(), "truncated");
    assert_eq!(Gguf::new(0, 1).architecture().refused(0), "no_tensors");
    assert_eq!(Gguf::new(0, 0).refused(0), "not_a_control_vector");

    let huge_text = Gguf::new(1, 1).text("k").u32(8).u64(u64::MAX);
    assert_eq!(huge_text.refused(0), "truncated");
    let huge_array = Gguf::new(1, 1).text("k").u32(9).u32(10).u64(u64::MAX / 4);
    assert_eq!(huge_array.refused(0), "truncated");
    let mut deep = Gguf::new(1, 1).text("k").u32(9);
    for _ in 0..100_000 {
        deep = deep.u32(9).u64(1);
    }
    assert_eq!(deep.refused(0), "malformed");

    for (name, width, kind, offset, reason) in [
        ("direction.1", u64::MAX, 0, 0, "malformed"),
        ("direction.1", 1 << 61, 0, u64::MAX, "malformed"),
        ("direction.1", 1 << 40, 0, 0, "truncated"),
        ("direction.1", 4, 0, 1 << 40, "truncated"),
        ("direction.1", 4, 2, 0, "malformed"),
        ("direction.1", 32, 2, 0, "unsupported_type"),
        ("direction.1", 4, 99, 0, "malformed"),
        ("direction.-1", 4, 0, 0, "unclear_layer"),
        ("vector", 4, 0, 0, "not_a_layer"),
        ("direction.99999999999999999999", 4, 0, 0, "unclear_layer"),
    ] {
        let refused = good().tensor(name, width, kind, offset).refused(64);
        assert_eq!(refused, reason, "{name} {width} {kind} {offset}");
    }
    let overlapping = Gguf::new(2, 1)
        .architecture()
        .tensor("direction.1", 16, 0, 0)
        .tensor("direction.2", 16, 0, 32);
    assert_eq!(overlapping.refused(128), "malformed");
    let alignment = Gguf::new(1, 2)
        .architecture()
        .text("general.alignment")
        .u32(4);
    assert_eq!(
        alignment.u32(0).tensor("direction.1", 4, 0, 0).refused(64),
        "malformed"
    );
    let old = b"GGUF\x01\0\0\0".to_vec();
    assert_eq!(
        parse(VectorFormat::Gguf, &old).unwrap_err().kind(),
        "malformed"
    );
}
