//! Describes steering vectors.

use elpis::steering::EmotionInfo;

/// An emotion with its layers and norms, as shown by `doctor` and `chat`.
pub(super) fn vector_line(emotion: &EmotionInfo) -> String {
    let layers: Vec<_> = emotion
        .layers
        .iter()
        .map(|layer| {
            let share = layer.residual_fraction.map(|share| {
                let percent = share * 100.0;
                format!(", {percent:.0} % of the residual stream's")
            });
            let share = share.unwrap_or_default();
            format!("layer {} (norm {:.2}{share})", layer.layer, layer.norm)
        })
        .collect();
    let layers = layers.join(", ");
    format!("{:<12} {layers}, cap {:.2}", emotion.name, emotion.cap)
}
