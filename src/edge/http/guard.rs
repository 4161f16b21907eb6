//! What no request gets around. Keeps pages of other sites away, which reach a daemon on this machine through the browser
//! of whoever opens them.
//!
//! A page may send requests anywhere; the browser says from where (`Origin`, `Sec-Fetch-Site`). And it may have a name of
//! its own resolve to this machine (DNS rebinding); then `Host` holds that name. The socket is no browser's to reach.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::api::{Caller, failure};
use super::room::Limits;

/// Adds the headers of every answer, refusals too. Nothing here is a page: no browser is to guess otherwise, show it inside
/// of another one, keep it, or tell where it came from.
pub(super) async fn shut(mut answer: Response) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Takes the whole body before anybody looks at the request, or refuses it: 413 where it is too long, 408 where it takes
/// too long.
pub(super) async fn whole_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let too_long = "the body is too long, or ended too early";
    // What is promised is refused before it comes.
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "bad_data", too_long);
    }
    let read = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    match tokio::time::timeout(limits.body, read).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(refusal)) => failure(refusal.status(), "bad_data", too_long),
        Err(_) => failure(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long"),
    }
}

/// Refuses what comes by a foreign name, and what a foreign page asks to change.
pub(super) async fn only_ours(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    if request.extensions().get() == Some(&Caller::Network)
        && let Err((status, error)) = judge(request.method(), request.headers(), &hosts)
    {
        return failure(status, "forbidden", error);
    }
    next.run(request).await
}

fn judge(method: &Method, headers: &HeaderMap, hosts: &[String]) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // No browser leaves it out.
    let host = text(header::HOST);
    if host.is_some_and(|host| !is_ours(host, hosts)) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "the name in Host is not this daemon's: see http.hosts"));
    }
    if method.is_safe() {
        return Ok(());
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let same_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let authority = |origin: &str| origin.split_once("://").map(|(_, authority)| authority.to_ascii_lowercase());
    let same_origin = text(header::ORIGIN).is_none_or(|origin| authority(origin) == host.map(str::to_ascii_lowercase));
    if same_site && same_origin {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "a page of another site may not change anything here"))
    }
}

/// Whether a `Host` is an address, `localhost` or one of these names, with or without a port.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &Method, pairs: &[(&'static str, &'static str)]) -> Option<u16> {
        let headers = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        judge(method, &headers.collect(), &["watch.example.org".to_owned()]).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn only_names_of_this_daemon_are_answered() {
        for host in ["127.0.0.1:9464", "localhost", "LocalHost:80", "[::1]:9464", "10.0.0.3", "Watch.example.org:443"] {
            assert_eq!(judged(&Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example", "", ":80"]
        {
            assert_eq!(judged(&Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(judged(&Method::GET, &[]), None);
    }

    #[test]
    fn no_foreign_page_changes_anything() {
        let host = ("host", "127.0.0.1:9464");
        let asked = |pair: (&'static str, &'static str)| judged(&Method::POST, &[host, pair]);
        for ours in [("origin", "http://127.0.0.1:9464"), ("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")]
        {
            assert_eq!(asked(ours), None, "{ours:?}");
        }
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(asked(foreign), Some(403), "{foreign:?}");
            assert_eq!(judged(&Method::DELETE, &[host, foreign]), Some(403), "{foreign:?}");
            assert_eq!(judged(&Method::GET, &[host, foreign]), None, "reading is for the browser to keep apart");
        }
        assert_eq!(judged(&Method::POST, &[host]), None, "no browser");
    }
}
