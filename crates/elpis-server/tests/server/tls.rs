//! The server with a certificate.

use std::sync::Arc;

use elpis::settings::ServerSettings;
use elpis_server::{Server, ServerError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{Running, start_serving};

fn listener() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

async fn serve(running: &Running, listener: std::net::TcpListener) -> Result<(), ServerError> {
    let server: Server = running.server.clone();
    server.serve(listener, std::future::pending()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_certificate_is_served() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = ServerSettings::default()
        .tls_certificate(certificate)
        .tls_key(key);
    let running = start_serving(settings).await;
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let asked = async {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        let request = b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        // The server may close without a farewell.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    let answer = tokio::select! {
        answer = asked => answer,
        served = serve(&running, listener) => panic!("{served:?}"),
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named() {
    let settings = ServerSettings::default()
        .tls_certificate("no.pem")
        .tls_key("no-key.pem");
    let running = start_serving(settings).await;
    let error = serve(&running, listener()).await.unwrap_err().to_string();
    assert!(
        error.contains("no.pem") && error.contains("no-key.pem"),
        "{error}"
    );
}
