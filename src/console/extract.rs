//! What a browser sends with a page, and what becomes of one that sends something else.

use super::{Console, ask::error};
use crate::words::say;
use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use std::convert::Infallible;

/// A form that was posted. One that cannot be read is answered by a page.
pub struct Posted<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Console> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let read = Form::from_request(request, console).await;
        read.map(|Form(value)| Self(value)).map_err(|rejection| {
            let (status, why) = match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, say!("console_form_too_large")),
                _ => (StatusCode::BAD_REQUEST, say!("console_form_unread")),
            };
            error(console.frame(None, &headers, ""), status, why)
        })
    }
}

/// What the address asks for. What can't be read of it asks for nothing.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequestParts<S> for Asked<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Query::from_request_parts(parts, state).await.map(|Query(value)| value).unwrap_or_default()))
    }
}
