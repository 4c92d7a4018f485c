//! Schemas of the API's description for which the code has no type.

use crate::{domain::reminder::ReminderId, platform};
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat, Type,
    schema::{AdditionalProperties, Schema, SchemaType},
};

/// Closed sets of words for which the code has no enum.
macro_rules! closed_sets {
    ($($(#[doc = $doc:literal])+ $name:ident: $words:expr;)+) => {$(
        $(#[doc = $doc])+
        pub struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).enum_values(Some($words));
                words.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}
pub(super) use closed_sets;

closed_sets! {
    /// The user's answer in the popup. Another word that begins with `acceptWith` is read as `accept`.
    PopupResult: platform::popup_words();
    /// The language of what a platform adds to a message.
    Lang: platform::values_of("lang");
    /// The version of the mini-program that opens on tap.
    MiniprogramState: platform::values_of("miniprogram_state");
    /// The platform's receipt.
    DeliveryWord: ["delivered", "undelivered"];
    /// Which instants come first.
    OrderWord: ["oldest", "newest"];
    /// A part of a reminder that retention has erased.
    Erased: ["body", "attempts"];
    /// Who told of a tap: the mini-program, the platform's push, or both.
    ToldBy: ["client", "callback", "both"];
}

/// The result of `wx.requestSubscribeMessage`.
pub struct PopupResults;

impl utoipa::PartialSchema for PopupResults {
    fn schema() -> RefOr<Schema> {
        let beside = || ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("Passed over."));
        let results = ObjectBuilder::new().property("errMsg", beside()).property("errCode", beside());
        results.additional_properties(Some(Ref::from_schema_name("PopupResult"))).into()
    }
}

impl utoipa::ToSchema for PopupResults {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("PopupResult".into(), <PopupResult as utoipa::PartialSchema>::schema()));
    }
}

/// What the client's call gave, as it is.
pub struct WholeResult;

impl utoipa::PartialSchema for WholeResult {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)));
        any.description(Some("The object that the client's call gave, as it is.")).into()
    }
}

impl utoipa::ToSchema for WholeResult {}

/// Lines of JSON.
pub struct Ndjson;

impl utoipa::PartialSchema for Ndjson {
    fn schema() -> RefOr<Schema> {
        let lines =
            ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        lines.description(Some("A JSON object a line, of at most 64 KiB; any number of lines.")).into()
    }
}

impl utoipa::ToSchema for Ndjson {}

impl utoipa::PartialSchema for ReminderId {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^r_[0-7][0-9a-hjkmnp-tv-z]{12}$"));
        id.description(Some("A reminder's id. Ids sort by creation.")).examples(["r_06w4n2k8c0000"]).into()
    }
}

impl utoipa::ToSchema for ReminderId {}
