//! Addresses of a Hub, and which of them may receive the token.

use ureq::http::Uri;

/// Scheme, host and port. The token is only sent to those of the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

/// An absolute address, `http` or `https`.
#[derive(Debug, Clone)]
pub(super) struct Address {
    uri: Uri,
    origin: Origin,
}

impl Address {
    /// Parses an absolute address; `None` if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        let port = match uri
            .authority()?
            .as_str()
            .rsplit('@')
            .next()?
            .strip_prefix(host)?
        {
            "" if is_https => 443,
            "" => 80,
            // A port that is out of range must not count as missing.
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let origin = Origin {
            is_https,
            host: host.to_ascii_lowercase(),
            port,
        };
        Some(Self { uri, origin })
    }

    /// Resolves the target of a redirect or a `Link` header, which may lack scheme and host.
    ///
    /// # Errors
    /// The reason why it is not followed. A redirect from an encrypted to an unencrypted address is
    /// never followed.
    pub(super) fn follow(&self, target: &str) -> Result<Self, &'static str> {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let text = if target.starts_with("//") {
            format!("{scheme}:{target}")
        } else if target.starts_with('/') {
            format!("{scheme}://{authority}{target}")
        } else {
            target.to_owned()
        };
        let next = Self::parse(&text).ok_or("it refers to an invalid address")?;
        if self.origin.is_https && !next.origin.is_https {
            return Err("it refers from https to http");
        }
        Ok(next)
    }

    /// Whether scheme, host and port are the same.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        self.origin == other.origin
    }

    pub(super) fn is_https(&self) -> bool {
        self.origin.is_https
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_with_scheme_host_and_port() {
        let hub = Address::parse("https://hub.co").unwrap();
        for (target, is_same) in [
            ("/a/b?c=d", true),
            ("https://hub.co/x", true),
            ("https://HUB.co:443/x", true),
            ("//hub.co/x", true),
            ("https://hub.co:8443/x", false),
            ("https://hub.co.evil.org/x", false),
            ("https://hub.co@evil.org/x", false),
            ("https://evil.org/hub.co", false),
            ("https://evil.org#@hub.co/", false),
            ("//evil.org/x", false),
        ] {
            let next = hub.follow(target).unwrap();
            assert_eq!(next.is_same_origin(&hub), is_same, "{target}");
        }
        let local = Address::parse("http://localhost:80").unwrap();
        let other = Address::parse("https://localhost:80").unwrap();
        assert!(!local.is_same_origin(&other));
        assert!(local.follow("https://localhost/").is_ok());
    }

    #[test]
    fn what_is_no_address_is_not_followed() {
        let hub = Address::parse("https://hub.co/prefix").unwrap();
        for target in [
            "",
            "x",
            "../x",
            "http://hub.co/x",
            "//",
            "///x",
            "file:///etc/passwd",
            "unix:/run/x",
            "https://",
            "https:///x",
            "/a b",
            "https://h:99999/",
            "https://hub.co:/x",
        ] {
            assert!(hub.follow(target).is_err(), "{target}");
        }
        assert!(Address::parse("hub.co").is_none());
    }
}
