//! Blocks: those of the first generation, the documents of later ones, and the default storage.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Block, BlockSpec, BlockType, Client, Document, Error, Result};
use crate::http::percent_encoded;

impl Client {
    /// Returns blocks, of one type if asked.
    pub async fn read_blocks(&self, spec_type: Option<&str>) -> Result<Vec<Document<Block>>> {
        let body = json!({"block_spec_type": spec_type});
        self.pages("/blocks/filter", body, 0, None).await
    }

    /// Returns a block.
    pub async fn read_block(&self, id: Uuid) -> Result<Document<Block>> {
        self.get(&format!("/blocks/{id}")).await
    }

    /// Creates a block.
    pub async fn create_block(
        &self,
        name: &str,
        spec_id: Uuid,
        data: &Value,
    ) -> Result<Document<Block>> {
        let body = json!({"name": name, "block_spec_id": spec_id, "data": data});
        self.post("/blocks/", &body).await
    }

    /// Deletes a block.
    pub async fn delete_block(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/blocks/{id}")).await
    }

    /// Returns the block documents that are not of some client's own.
    pub async fn read_block_documents(&self) -> Result<Vec<Document<Block>>> {
        self.pages("/block_documents/filter", json!({}), 0, None)
            .await
    }

    /// Returns a block document.
    pub async fn read_block_document(&self, id: Uuid) -> Result<Document<Block>> {
        self.get(&format!("/block_documents/{id}")).await
    }

    /// Returns a block document by its type and name.
    pub async fn read_block_document_by_name(
        &self,
        slug: &str,
        name: &str,
    ) -> Result<Document<Block>> {
        let (slug, name) = (percent_encoded(slug), percent_encoded(name));
        let path = format!("/block_types/slug/{slug}/block_documents/name/{name}");
        self.get(&path).await
    }

    /// Deletes a block document.
    pub async fn delete_block_document(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/block_documents/{id}")).await
    }

    /// Returns the types of block documents.
    pub async fn read_block_types(&self) -> Result<Vec<Document<BlockType>>> {
        self.pages("/block_types/filter", json!({}), 0, None).await
    }

    /// Deletes a type of block documents with its documents.
    pub async fn delete_block_type(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/block_types/{id}")).await
    }

    /// Returns kinds of blocks of the first generation, of one type if asked.
    pub async fn read_block_specs(
        &self,
        spec_type: Option<&str>,
    ) -> Result<Vec<Document<BlockSpec>>> {
        let body = json!({"block_spec_type": spec_type});
        self.post("/block_specs/filter", &body).await
    }

    /// Returns the default storage, if one is set.
    pub async fn read_default_storage(&self) -> Result<Option<Document<Block>>> {
        // No default is an answer without a body, which reads as the end of the input.
        match self
            .post("/blocks/get_default_storage_block", &json!({}))
            .await
        {
            Ok(block) => Ok(block),
            Err(Error::Unreadable { source, .. }) if source.is_eof() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a block the default storage.
    pub async fn set_default_storage(&self, id: Uuid) -> Result<()> {
        let path = format!("/blocks/{id}/set_default_storage_block");
        self.post_only(&path, &json!({})).await
    }

    /// Leaves no default storage.
    pub async fn clear_default_storage(&self) -> Result<()> {
        self.post_only("/blocks/clear_default_storage_block", &json!({}))
            .await
    }
}
