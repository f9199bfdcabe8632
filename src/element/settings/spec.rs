//! What is made from a row of the table: its ParamSpec, and its line in the README.

use glib::{ParamSpec, Value, prelude::*};

use super::{Access, PROPERTIES, Property, Settings, Status, Values, When, get, text};

pub(super) fn choice<E>(property: &Property) -> ParamSpec
where
    E: StaticType
        + Default
        + glib::translate::FromGlib<i32>
        + glib::translate::IntoGlib<GlibType = i32>
        + for<'a> glib::value::FromValue<'a>,
{
    glib::ParamSpecEnum::builder_with_default::<E>(property.name, get::<E>(&property.default()))
        .blurb(property.blurb)
        .flags(property.flags())
        .build()
}

impl Property {
    /// The row of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PROPERTIES.iter().find(|property| property.name == name)
    }

    /// The value that a new element has.
    pub fn default(&self) -> Value {
        match self.access {
            Access::Setting { get, .. } => get(&Settings::default()),
            Access::Status(get) => get(&Status::default()),
        }
    }

    fn flags(&self) -> glib::ParamFlags {
        let settable = glib::ParamFlags::READWRITE;
        match &self.access {
            Access::Status(_) => glib::ParamFlags::READABLE,
            Access::Setting { changes: When::Ready, .. } => settable | gst::PARAM_FLAG_MUTABLE_READY,
            Access::Setting { changes: When::NextBatch | When::NextFrame, .. } => {
                let flags = settable | gst::PARAM_FLAG_MUTABLE_PLAYING;
                if self.is_controllable() { flags | gst::PARAM_FLAG_CONTROLLABLE } else { flags }
            }
        }
    }

    /// Numbers and switches can follow a curve over time (GstController); texts cannot.
    fn is_controllable(&self) -> bool {
        matches!(self.values, Values::Switch | Values::Whole { .. } | Values::Long | Values::Real { .. })
    }

    /// The property as GObject wants it.
    pub fn spec(&self) -> ParamSpec {
        let (name, blurb, flags, default) = (self.name, self.blurb, self.flags(), self.default());
        match self.values {
            Values::Text | Values::Path => glib::ParamSpecString::builder(name)
                .default_value(get::<Option<String>>(&default).as_deref())
                .blurb(blurb)
                .flags(flags)
                .build(),
            Values::Switch => glib::ParamSpecBoolean::builder(name)
                .default_value(get(&default))
                .blurb(blurb)
                .flags(flags)
                .build(),
            Values::Whole { min, max, .. } => glib::ParamSpecUInt::builder(name)
                .minimum(min)
                .maximum(max)
                .default_value(get(&default))
                .blurb(blurb)
                .flags(flags)
                .build(),
            Values::Long | Values::Time | Values::Bytes => glib::ParamSpecUInt64::builder(name)
                .default_value(get(&default))
                .blurb(blurb)
                .flags(flags)
                .build(),
            Values::Real { min, max } => glib::ParamSpecDouble::builder(name)
                .minimum(min)
                .maximum(max)
                .default_value(get(&default))
                .blurb(blurb)
                .flags(flags)
                .build(),
            Values::Choice(make) => make(self),
            Values::Structure => {
                glib::ParamSpecBoxed::builder::<gst::Structure>(name).blurb(blurb).flags(flags).build()
            }
        }
    }

    fn values_text(&self) -> String {
        match self.values {
            Values::Text => "text".into(),
            Values::Path => "path".into(),
            Values::Switch => "true, false".into(),
            Values::Whole { min, max, unit } => format!("{min} to {max} {unit}"),
            Values::Long => "0 to 2^64 - 1".into(),
            Values::Time => "0 to 2^64 - 1 ns".into(),
            Values::Bytes => "0 to 2^64 - 1 bytes".into(),
            Values::Real { min, max } => format!("{min} to {max}"),
            Values::Choice(_) => choices(&self.default()).join(", "),
            Values::Structure => "structure".into(),
        }
    }

    fn default_text(&self) -> String {
        let value = self.default();
        match self.values {
            _ if matches!(self.access, Access::Status(_)) => String::new(),
            Values::Text | Values::Path => text(&value),
            Values::Switch => get::<bool>(&value).to_string(),
            Values::Whole { .. } => get::<u32>(&value).to_string(),
            Values::Long | Values::Time | Values::Bytes => get::<u64>(&value).to_string(),
            Values::Real { .. } => get::<f64>(&value).to_string(),
            Values::Choice(_) => chosen(&value),
            Values::Structure => String::new(),
        }
    }

    fn changes_text(&self) -> &'static str {
        match self.access {
            Access::Setting { changes: When::Ready, .. } => "in READY",
            Access::Setting { changes: When::NextBatch | When::NextFrame, .. } => "any time",
            Access::Status(_) => "read only",
        }
    }
}

fn choices(value: &Value) -> Vec<String> {
    let class = glib::EnumClass::with_type(value.type_());
    class
        .map(|class| class.values().iter().map(|choice| choice.nick().to_string()).collect())
        .unwrap_or_default()
}

fn chosen(value: &Value) -> String {
    glib::EnumValue::from_value(value).map(|(_, choice)| choice.nick().to_string()).unwrap_or_default()
}

/// The table of the README.
pub fn markdown_table() -> String {
    let mut table = String::from(
        "| Property | Meaning | Values | Default | May change |\n| --- | --- | --- | --- | --- |\n",
    );
    for property in &PROPERTIES {
        let default = property.default_text();
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let (values, changes) = (property.values_text(), property.changes_text());
        table +=
            &format!("| `{}` | {} | {values} | {default} | {changes} |\n", property.name, property.blurb);
    }
    table
}
