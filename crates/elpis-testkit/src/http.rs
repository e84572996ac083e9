//! A minimal HTTP client for test servers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Returns the body of a response. Panics unless its status is 200.
pub fn get(address: SocketAddr, path: &str) -> String {
    let (head, body) = try_get(address, path).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
    body
}

/// Returns the head and body of a response.
///
/// # Errors
/// An I/O error if there was no complete response.
pub fn try_get(address: SocketAddr, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    // HTTP 1.0 has no chunked encoding.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((head.replacen("HTTP/1.0", "HTTP/1.1", 1), body.to_owned()))
}
