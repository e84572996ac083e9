//! Invalid `NumPy` arrays, alone and in archives.

use elpis_steering::VectorFormat;

use super::{crc32, parse, parse_all, pt};

/// `(shape, dtype, fortran, data)` as numpy's protocol 2 has it.
pub(super) fn numpy(dtype: &str, order: &str, shape: &[u8], data: &[u8]) -> Vec<u8> {
    let mut pickle =
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
            .to_vec();
    pickle.extend(shape);
    pickle.extend(b"cnumpy\ndtype\nX");
    pickle.extend((dtype.len() as u32).to_le_bytes());
    pickle.extend(dtype.as_bytes());
    pickle.extend(b"\x89\x88\x87R(K\x03X\x01\0\0\0");
    pickle.extend(order.as_bytes());
    pickle.extend(b"NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFFK\0tb\x89");
    pickle.extend(data);
    pickle.extend(b"tb.");
    pickle
}

#[test]
fn numpy_arrays_that_are_not_plain_numbers_are_refused() {
    let refused = |pickle: &[u8]| {
        let refused = parse_all(VectorFormat::Pt, &pt(pickle)).unwrap_err();
        refused.kind()
    };
    let data = b"C\x08\0\0\x80\x3f\0\0\0\x40";
    let good = numpy("f4", "<", b"K\x02\x85", data);
    let vector = parse(VectorFormat::Pt, &pt(&good)).unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    let swapped = numpy("f4", ">", b"K\x02\x85", b"C\x08\x3f\x80\0\0\x40\0\0\0");
    let vector = parse(VectorFormat::Pt, &pt(&swapped)).unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    // Data of another length than the shape, shapes that overflow, more dimensions than allowed.
    for shape in [
        &b"K\x03\x85"[..],
        b"K\x01\x85",
        b"K\x02K\x02\x86",
        b"\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FK\x04\x86",
        b"J\xFF\xFF\xFF\xFF\x85",
        b"N",
    ] {
        assert_eq!(
            refused(&numpy("f4", "<", shape, data)),
            "malformed",
            "{shape:?}"
        );
    }
    let nine = [&b"(K\x02"[..], &b"K\x01".repeat(8), b"t"].concat();
    assert_eq!(refused(&numpy("f4", "<", &nine, data)), "limit_exceeded");
    assert_eq!(refused(&numpy("f4", "<", b"K\0\x85", b"C\0")), "empty");
    for (dtype, kind) in [
        ("i4", "unsupported_type"),
        ("c8", "unsupported_type"),
        ("O8", "unsupported_type"),
        ("V8", "unsupported_type"),
        ("U1", "unsupported_type"),
        ("f99999999999999999999", "unsupported_type"),
        ("f0", "malformed"),
        ("i0", "malformed"),
    ] {
        assert_eq!(
            refused(&numpy(dtype, "<", b"K\x02\x85", data)),
            kind,
            "{dtype}"
        );
    }
    assert_eq!(refused(&numpy("f4", "?", b"K\x02\x85", data)), "malformed");
    // Data that is no bytes, a character that is no byte, an encoding of another kind.
    assert_eq!(
        refused(&numpy("f4", "<", b"K\x02\x85", b"K\x01")),
        "malformed"
    );
    let encoded = |text: &[u8], encoding: &[u8]| {
        [
            b"c_codecs\nencode\nX",
            &(text.len() as u32).to_le_bytes()[..],
            text,
            encoding,
            b"\x86R",
        ]
        .concat()
    };
    let latin1 = b"X\x06\0\0\0latin1";
    let wide = encoded("\0\0\u{80}\u{3f}\0\0\0\u{100}".as_bytes(), latin1);
    assert_eq!(refused(&numpy("f4", "<", b"K\x02\x85", &wide)), "malformed");
    let text = encoded("\0\0\u{80}\u{3f}\0\0\0\u{40}".as_bytes(), latin1);
    let vector = parse(
        VectorFormat::Pt,
        &pt(&numpy("f4", "<", b"K\x02\x85", &text)),
    )
    .unwrap();
    assert_eq!(vector.row(0).unwrap(), [1.0, 2.0]);
    let rot13 = encoded(b"abcdefgh", b"X\x05\0\0\0rot13");
    assert_eq!(
        refused(&numpy("f4", "<", b"K\x02\x85", &rot13)),
        "malformed"
    );
    // Only what arrays are made of can be called, and only so.
    for pickle in [
        &b"\x80\x02cnumpy\nndarray\n)R."[..],
        b"\x80\x02cnumpy\ndtype\n)R.",
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n)R.",
        b"\x80\x02cnumpy._core.multiarray\nscalar\n)R.",
        b"\x80\x02cnumpy._core.numeric\n_frombuffer\n)R.",
        b"\x80\x02cbuiltins\nbytes\nK\x05\x85R.",
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R.",
    ] {
        assert_eq!(refused(pickle), "malformed", "{pickle:?}");
    }
    for global in [
        "numpy.core.multiarray\nfromstring",
        "numpy\nload",
        "numpy\nmemmap",
        "numpy._core._internal\n_reconstruct",
        "_codecs\ndecode",
        "builtins\ngetattr",
        "builtins\nbytearray",
    ] {
        let pickle = format!("\x02c{global}\n.");
        let pickle = [&[0x80][..], pickle.as_bytes()].concat();
        assert_eq!(refused(&pickle), "refused_global", "{global}");
    }
    assert_eq!(refused(b"\x97."), "refused_opcode");
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn hand_made_npy_files_are_refused() {
    let refused = |bytes: &[u8]| parse_all(VectorFormat::Npy, bytes).unwrap_err().kind();
    let one = 1_f32.to_le_bytes();
    assert!(parse(VectorFormat::Npy, &npy("<f4", "(1,)", &one)).is_ok());
    assert_eq!(refused(&npy("<f4", "()", &one)), "shape");
    for (shape, data) in [
        ("(2,)", &one[..]),
        ("(1,)", &one[..3]),
        ("(1,)", &[0; 8][..]),
        ("(18446744073709551615,)", &one[..]),
        ("(4611686018427387905,)", &one[..]),
        ("(4294967296, 4294967296)", &one[..]),
        ("(1", &one[..]),
    ] {
        assert_eq!(refused(&npy("<f4", shape, data)), "malformed", "{shape}");
    }
    assert_eq!(refused(&npy("<f4", "(0,)", &[])), "empty");
    assert_eq!(
        refused(&npy("<f4", "(0, 1000000000)", &[])),
        "limit_exceeded"
    );
    assert_eq!(refused(&npy("<f4", "(1000000000, 0)", &[])), "empty");
    assert_eq!(refused(&npy("|O", "(1,)", &one)), "unsupported_type");
    assert_eq!(
        refused(&npy("<f4", "(1,)", &f32::NAN.to_le_bytes())),
        "not_finite"
    );
    let mut long = b"\x93NUMPY\x02\0".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert_eq!(refused(&long), "limit_exceeded");
    assert_eq!(refused(b"\x93NUMPY\x04\0\0\0"), "malformed");
    assert_eq!(refused(b"PK\x03\x04 and so on"), "malformed");
    assert_eq!(refused(b""), "truncated");
}

/// An archive with one deflated entry that says to be so long.
fn deflated(name: &str, data: &[u8], size: u32, crc: u32) -> Vec<u8> {
    let mut common = vec![0, 0, 8, 0, 0, 0, 0, 0];
    common.extend(crc.to_le_bytes());
    common.extend((data.len() as u32).to_le_bytes());
    common.extend(size.to_le_bytes());
    common.extend((name.len() as u16).to_le_bytes());
    common.extend([0, 0]);
    let mut bytes = b"PK\x03\x04\0\0".to_vec();
    bytes.extend(&common);
    bytes.extend(name.as_bytes());
    bytes.extend(data);
    let start = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\0\0\0\0");
    bytes.extend(&common);
    bytes.extend([0; 14]);
    bytes.extend(name.as_bytes());
    let length = bytes.len() as u32 - start;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(length.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn an_npz_inflates_no_further_than_vectors_need() {
    // A stored block of deflate holds bytes as they are.
    let stored = |bytes: &[u8]| {
        let length = bytes.len() as u16;
        let mut out = vec![1];
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(bytes);
        out
    };
    let array = npy("<f4", "(1,)", &1_f32.to_le_bytes());
    let (size, crc) = (array.len() as u32, crc32(&array));
    let refused = |bytes: &[u8]| parse_all(VectorFormat::Npz, bytes).unwrap_err().kind();
    let good = deflated("calm.npy", &stored(&array), size, crc);
    assert!(parse(VectorFormat::Npz, &good).is_ok());
    for wrong in [
        deflated("calm.npy", &stored(&array), size - 1, crc),
        deflated("calm.npy", &stored(&array), size + 1, crc),
        deflated("calm.npy", &stored(&array), size, crc ^ 1),
        deflated("calm.npy", b"\xFF\xFF\xFF", size, crc),
        deflated("calm.npy", b"", size, crc),
    ] {
        assert_eq!(refused(&wrong), "malformed");
    }
    let bomb = deflated("calm.npy", &stored(&array), 1 << 30, crc);
    assert_eq!(refused(&bomb), "limit_exceeded");
    // A .pt file has nothing that is deflated.
    let pickle = deflated("a/data.pkl", &stored(b"}."), 2, crc32(b"}."));
    assert_eq!(
        parse_all(VectorFormat::Pt, &pickle).unwrap_err().kind(),
        "malformed"
    );
}
