//! TLS towards others, with the authorities that this computer trusts.
//!
//! Owns the TLS engine and when the computer's certificates are read: at the first need, and again while there are
//! none.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{OutboundError, as_ip};

/// What is needed to speak TLS; made at the first need.
#[derive(Default)]
pub(super) struct Tls(OnceCell<TlsConnector>);

impl Tls {
    /// Speaks TLS with whoever can prove to be `host`.
    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let connector = self.0.get_or_try_init(connector).await?;
        let name = match as_ip(host) {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(host.to_owned()).map_err(|_| OutboundError::Url)?,
        };
        connector.connect(name, tcp).await.map_err(|_| OutboundError::Tls)
    }
}

async fn connector() -> Result<TlsConnector, OutboundError> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|_| OutboundError::Tls)?;
    for error in &found.errors {
        tracing::warn!(%error, "some of this computer's certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::error!("this computer trusts no certificates, so nothing can be asked over https");
        return Err(OutboundError::Tls);
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| OutboundError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
