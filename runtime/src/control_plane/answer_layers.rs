//! Answers requests about layers.

use std::io::Cursor;

use serde_json::{Value, json};

use super::ControlPlane;
use super::answer::{Answer, archive, listed};
use crate::catalog::{Page, PublishLayer, Refusal, required};

impl ControlPlane {
    pub(super) fn publish_layer(
        &self,
        name: &str,
        request: &PublishLayer,
    ) -> Result<Answer, Refusal> {
        let content = request.content.as_ref();
        let zip = content
            .ok_or_else(|| required("content"))?
            .zip_file
            .as_ref();
        let zip = zip.ok_or_else(|| {
            Refusal::invalid("Lambent has no S3: give the layer's archive as Content.ZipFile")
        })?;
        let archive = Cursor::new(archive(zip)?);
        self.layers
            .publish(name, request, archive)
            .map(Answer::created)
    }

    pub(super) fn layer(
        &self,
        name: &str,
        version: u64,
        endpoint: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let book = self.layers.book(name)?;
        let mut answer = book
            .answer(self.arns(), name, version)
            .ok_or_else(|| Refusal::not_found("The resource you requested does not exist."))?;
        if let Some(layer) = book.usage(self.arns(), name, version)
            && let Some(location) = self.layers.location(&layer.digest, endpoint)
        {
            answer["Content"]["Location"] = location.into();
        }
        Ok(Answer::ok(answer))
    }

    pub(super) fn list_layers(&self, page: &Page) -> Result<Answer, Refusal> {
        let mut all = vec![];
        for name in self.layers.names()? {
            let book = self.layers.book(&name)?;
            // A layer without versions is not listed, and keeps its numbers.
            if let Some(newest) = book.numbers().next() {
                let item = json!({
                    "LayerName": name,
                    "LayerArn": self.arns().layer(&name),
                    "LatestMatchingVersion": book.item(self.arns(), &name, newest),
                });
                all.push((name, item));
            }
        }
        Ok(listed("Layers", page.of(all)))
    }

    pub(super) fn list_layer_versions(&self, name: &str, page: &Page) -> Result<Answer, Refusal> {
        let book = self.layers.book(name)?;
        let all: Vec<(String, Value)> = book
            .numbers()
            .filter_map(|version| {
                let item = book.item(self.arns(), name, version)?;
                Some((version.to_string(), item))
            })
            .collect();
        Ok(listed("LayerVersions", page.of(all)))
    }
}
