//! A client of `lambent serve` for benches: the operations of Lambda that they
//! need, on one connection, with nothing between them and the answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixtures::{Error, Fixture};
use crate::wait;

/// How long a function may take until it is active.
const ACTIVE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// How long an answer may take, for what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a function was invoked to.
#[derive(Debug)]
pub struct Answer {
    /// The function failed.
    pub failed: bool,
    /// Of the invocation.
    pub request_id: String,
    /// The function's answer, or Lambda's about it.
    pub payload: Value,
}

/// A client with a connection of its own.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    functions: String,
}

impl Client {
    /// A client of the endpoint at `url`.
    pub fn new(url: &str) -> Self {
        let patience = Some(wait::patiently(PATIENCE));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Not one for the whole request, which would also be one for finding the
            // address: that takes a thread for each.
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_recv_body(patience)
            .build();
        Self {
            agent: config.into(),
            functions: format!("{url}/2015-03-31/functions"),
        }
    }

    /// Creates an image function, and waits until it is active. `settings` are
    /// further members of the request.
    ///
    /// # Errors
    /// The function is refused, or does not become active.
    pub fn create(&self, name: &str, image: &Fixture, settings: Value) -> Result<(), Error> {
        let mut request = settings;
        request["FunctionName"] = name.into();
        request["Role"] = "arn:aws:iam::123456789012:role/r".into();
        request["PackageType"] = "Image".into();
        request["Code"] = json!({"ImageUri": image.reference()});
        let mut answer = self.agent.post(&self.functions).send(request.to_string())?;
        if answer.status() != 201 {
            return Err(answer.body_mut().read_to_string()?.into());
        }
        let configuration = format!("{}/{name}/configuration", self.functions);
        let started = Instant::now();
        loop {
            let text = self.agent.get(&configuration).call()?;
            let answer = text.into_body().read_to_string()?;
            let function: Value = serde_json::from_str(&answer)?;
            match function["State"].as_str() {
                Some("Active") => return Ok(()),
                Some("Pending") if started.elapsed() < ACTIVE => std::thread::sleep(POLL),
                _ => return Err(answer.into()),
            }
        }
    }

    /// Deletes a function.
    ///
    /// # Errors
    /// There is none, or the service does not answer.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let answer = self
            .agent
            .delete(format!("{}/{name}", self.functions))
            .call()?;
        if answer.status() == 204 {
            return Ok(());
        }
        Err(answer.into_body().read_to_string()?.into())
    }

    /// Invokes a function.
    ///
    /// # Errors
    /// Lambda would have answered with an exception, or nobody answers.
    pub fn invoke(&self, name: &str, event: &Value) -> Result<Answer, Error> {
        let mut answer = self
            .agent
            .post(format!("{}/{name}/invocations", self.functions))
            .send(event.to_string())?;
        let text = answer.body_mut().read_to_string()?;
        if answer.status() != 200 {
            return Err(text.into());
        }
        let headers = answer.headers();
        let request_id = headers.get("x-amzn-requestid").ok_or("no request ID")?;
        Ok(Answer {
            failed: headers.contains_key("x-amz-function-error"),
            request_id: request_id.to_str()?.to_owned(),
            payload: serde_json::from_str(&text)?,
        })
    }
}
