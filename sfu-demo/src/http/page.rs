//! The files of the page, which are part of the binary.

use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};

pub(super) type Page = ([(HeaderName, &'static str); 4], &'static str);

fn asset(kind: &'static str, body: &'static str) -> Page {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'self'; media-src 'self' blob: mediastream:; frame-ancestors 'none'",
        ),
    ];
    (headers, body)
}

pub(super) async fn page() -> Page {
    asset("text/html; charset=utf-8", include_str!("web/index.html"))
}

pub(super) async fn script() -> Page {
    asset("text/javascript; charset=utf-8", include_str!("web/app.js"))
}

pub(super) async fn panel() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/panel.js"),
    )
}

pub(super) async fn tiles() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/tiles.js"),
    )
}

pub(super) async fn devices() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/devices.js"),
    )
}

pub(super) async fn signal() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/signal.js"),
    )
}

pub(super) async fn link() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/link.js"),
    )
}

pub(super) async fn access() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/access.js"),
    )
}

pub(super) async fn chat() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/chat.js"),
    )
}

pub(super) async fn words() -> Page {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("web/words.js"),
    )
}

pub(super) async fn style() -> Page {
    asset("text/css; charset=utf-8", include_str!("web/style.css"))
}

pub(super) async fn icon() -> Page {
    asset("image/svg+xml", include_str!("web/icon.svg"))
}
