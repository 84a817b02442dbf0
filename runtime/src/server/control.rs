//! The control plane over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::body::{self, BodyError};
use crate::catalog::{Refusal, RefusalKind};
use crate::control_plane::{Answer, Operation};
use crate::model::RequestId;

/// Lambda's limit on a request with an archive in it, in bytes.
const REQUEST_LIMIT: usize = 70_167_211;

/// Answers a request of the control plane.
pub(super) async fn answer(
    context: &Context,
    operation: Operation,
    host: Option<&str>,
    body: &mut Incoming,
) -> Result<Response<ResponseBody>, Exception> {
    let body = body::read(body, REQUEST_LIMIT).await.map_err(|error| {
        let BodyError::TooLarge = error else {
            return Refusal::body(&error.to_string());
        };
        let name = match operation {
            Operation::UpdateFunctionCode(_) => "UpdateFunctionCode",
            Operation::PublishLayerVersion(_) => "PublishLayerVersion",
            _ => "CreateFunction",
        };
        let message =
            format!("Request must be smaller than {REQUEST_LIMIT} bytes for the {name} operation");
        Refusal::new(RefusalKind::TooLarge, message)
    })?;
    let control = Arc::clone(&context.control);
    let host = host.map(str::to_owned);
    // It goes on when the caller leaves, and it may take its time.
    let work =
        tokio::task::spawn_blocking(move || control.answer(&operation, &body, host.as_deref()));
    match work.await {
        Ok(answer) => Ok(respond(answer?)),
        Err(error) => Err(Exception::service(&error.to_string())),
    }
}

/// Answers with an archive of a function or layer.
pub(super) async fn archive(
    context: &Context,
    name: String,
) -> Result<Response<ResponseBody>, Exception> {
    let control = Arc::clone(&context.control);
    let read = tokio::task::spawn_blocking(move || control.archive(&name)).await;
    let bytes = read.map_err(|error| Exception::service(&error.to_string()))??;
    let mut response = Response::new(full(bytes.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    Ok(response)
}

fn respond(answer: Answer) -> Response<ResponseBody> {
    let body = answer
        .body
        .map_or_else(Bytes::new, |body| body.to_string().into());
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(RequestId::random().to_string()) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    response
}
