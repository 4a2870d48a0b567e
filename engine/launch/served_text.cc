#include "engine/launch/served_text.h"

#include "base/ascii.h"

namespace uhd {

ServedText read_served_text(const ModelConfig& config, const EngineOptions& options, IntakeLimits limits) {
  ServedText text;
  text.tokenizer = load_tokenizer(options.model_path);
  const std::shared_ptr<const ChatTemplate> chat = load_chat_template(options.model_path);
  const bool images_first = options.image_order == "model" && chat->image_order() == ImageOrder::first;
  text.intake = std::make_unique<Intake>(config, text.tokenizer, chat, options.image, images_first, limits);
  text.info = {options.model_name.empty() ? config.name : options.model_name, name_of(config.family),
               config.vision.has_value(), limits.context, config.language.vocabulary};
  if (options.generation_config) text.info.sampling = config.sampling;
  text.info.thinks = chat->thinks();
  text.info.tools = chat->tools();
  text.info.aliases = split_list(options.model_aliases);
  text.info.template_variables = chat->variables();
  text.info.max_text_bytes = text.intake->max_text_bytes();
  return text;
}

}  // namespace uhd
