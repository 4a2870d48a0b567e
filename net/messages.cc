#include "net/messages.h"

#include <limits>
#include <map>
#include <optional>

#include "base/error.h"
#include "net/data_url.h"
#include "net/file_url.h"
#include "net/remote_image.h"
#include "net/tools.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr int64_t kMany = std::numeric_limits<int32_t>::max();

// Turns messages into a conversation, counting images over the whole call.
class Conversation {
 public:
  Conversation(const ModelInfo& model, const NetOptions& limits, bool sizes, FieldCheck& known,
               const ImageIntake& intake)
      : model_(model), limits_(limits), sizes_(sizes), known_(known), intake_(intake) {}

  std::vector<Message> read(const Fields& call) {
    const json::array* list = call.array("messages");
    if (list == nullptr || list->empty()) {
      throw ApiError{400, "'messages' must be an array with at least one message.", "messages",
                     "missing_required_parameter"};
    }
    if (static_cast<int64_t>(list->size()) > limits_.max_messages) {
      throw ApiError{400, message("'messages' holds more than ", limits_.max_messages, " messages."),
                     "messages", "too_many_messages"};
    }
    std::vector<Message> messages;
    for (size_t i = 0; i < list->size(); ++i) {
      messages.push_back(read_message((*list)[i], element("messages", i)));
    }
    return messages;
  }

 private:
  Message read_message(const json::value& v, const std::string& path) {
    if (!v.is_object()) throw_bad_field(path, "an object", v);
    const Fields fields(v.get_object(), path + ".");
    Message out{.role = read_role(fields)};
    known_.check(kMessageFields, v.get_object(), path + ".");
    read_tool_fields(fields, out);
    read_thoughts(fields, out);
    if (const auto name = fields.string("name")) out.name = take_text(*name, fields.path("name"));
    const json::value* content = fields.find("content");
    if (content == nullptr) {
      // A turn that only thought, called tools, or refused, has no content.
      if (out.role == "assistant")
        return with_text(std::move(out), fields.string("refusal").value_or(""), path);
      throw ApiError{400, message("'", path, ".content' is missing."), path + ".content",
                     "missing_required_parameter"};
    }
    if (!fields.string("refusal").value_or("").empty()) {
      throw ApiError{400, message("'", path, "' has both a content and a refusal; one is taken."),
                     path + ".refusal", "invalid_value"};
    }
    if (content->is_string()) return with_text(std::move(out), to_text(*content, path), path + ".content");
    if (!content->is_array()) {
      throw_bad_field(path + ".content", "a string or an array of parts", *content);
    }
    const json::array& parts = content->get_array();
    parts_ += parts.size();
    if (parts_ > static_cast<size_t>(limits_.max_parts)) {
      throw ApiError{400, message("The messages hold more than ", limits_.max_parts, " parts."),
                     path + ".content", "too_many_parts"};
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      out.parts.push_back(read_part(parts[i], element(path + ".content", i), out.role));
    }
    return out;
  }

  // An answer's calls, and which of them a tool answers.
  void read_tool_fields(const Fields& fields, Message& out) {
    const auto id = fields.string("tool_call_id");
    out.tool_calls = read_tool_calls(fields, model_, known_);
    if (!out.tool_calls.empty() && out.role != "assistant") {
      throw ApiError{400, message('\'', fields.path("tool_calls"), "' is for messages of the assistant."),
                     fields.path("tool_calls"), "invalid_value"};
    }
    if (id && out.role != "tool") {
      throw ApiError{400, message('\'', fields.path("tool_call_id"), "' is for messages of a tool."),
                     fields.path("tool_call_id"), "invalid_value"};
    }
    if (out.role == "tool" && !id) {
      throw ApiError{400, message('\'', fields.path("tool_call_id"), "' is missing."),
                     fields.path("tool_call_id"), "missing_required_parameter"};
    }
    if (model_.tools == ToolForm::none && (id || !out.tool_calls.empty())) {
      throw_unsupported(fields.path(id ? "tool_call_id" : "tool_calls"),
                        "the chat template of this model knows no tools.");
    }
    if (id) out.tool_call_id = *id;
    text_bytes_ += out.tool_calls.size() + out.tool_call_id.size();
    check_text_bytes(text_bytes_, model_, fields.path("tool_calls"));
  }

  // Clients give an answer back with its thoughts by either name, or by both.
  void read_thoughts(const Fields& fields, Message& out) {
    for (const std::string_view name : {"reasoning_content", "reasoning"}) {
      const std::string_view text = fields.string(name).value_or("");
      if (text.empty() || text == out.thoughts) continue;
      if (!out.thoughts.empty()) {
        throw ApiError{400,
                       message('\'', fields.path(name), "' has other thoughts than 'reasoning_content'."),
                       fields.path(name), "invalid_value"};
      }
      out.thoughts = take_text(text, fields.path(name));
    }
  }

  Message with_text(Message message, std::string_view text, const std::string& path) {
    message.parts.push_back({.text = take_text(text, path)});
    return message;
  }

  std::string take_text(std::string_view text, const std::string& path) {
    text_bytes_ += text.size();
    check_text_bytes(text_bytes_, model_, path);
    return std::string(text);
  }

  static std::string read_role(const Fields& fields) {
    const std::string path = fields.path("role");
    const auto role = fields.string("role");
    if (!role) throw ApiError{400, message("'", path, "' is missing."), path, "missing_required_parameter"};
    if (*role == "developer") return "system";
    for (const char* known : {"system", "user", "assistant", "tool"}) {
      if (*role == known) return known;
    }
    if (*role == "function") throw_unsupported(path, "the role is called 'tool' here.");
    throw ApiError{400, message("'", path, "' must be system, user, assistant or tool."), path,
                   "invalid_value"};
  }

  MessagePart read_part(const json::value& v, const std::string& path, const std::string& role) {
    if (!v.is_object()) throw_bad_field(path, "an object", v);
    const Fields part(v.get_object(), path + ".");
    const auto type = part.string("type");
    if (type == "text" || (type == "refusal" && role == "assistant")) {
      known_.check(kTextPartFields, v.get_object(), path + ".");
      const auto text = part.string(*type);
      if (!text) {
        throw ApiError{400, message("'", path, '.', *type, "' is missing."), path + "." + std::string(*type),
                       "missing_required_parameter"};
      }
      return {.text = take_text(*text, path)};
    }
    if (type == "video_url" || type == "video") {
      throw_unsupported(
          part.path("type"),
          "video is not supported by this server, nor the part of a resampler that is for it: send frames as "
          "images.");
    }
    if (type == "input_audio" || type == "audio_url") {
      throw_unsupported(part.path("type"), "audio is not supported by this server.");
    }
    if (type == "image_url") {
      known_.check(kImagePartFields, v.get_object(), path + ".");
      return read_image(part, role);
    }
    if (type == "image_size" && sizes_) {
      known_.check(kSizePartFields, v.get_object(), path + ".");
      return read_size(part, role);
    }
    throw ApiError{
        400,
        message("'", path, ".type' must be text", sizes_ ? ", image_url or image_size" : " or image_url",
                type == "image_size" && !sizes_ ? "; image_size is for /v1/plan and /tokenize" : "", "."),
        path + ".type", "invalid_value"};
  }

  void count_image(const std::string& role, const std::string& path) {
    if (!model_.vision) {
      throw ApiError{400, message("The model '", model_.id, "' takes no images."), path,
                     "image_not_supported"};
    }
    if (role != "user") {
      throw ApiError{400, "Images are taken in messages of the user only.", path, "invalid_value"};
    }
    if (++images_ > limits_.max_images) {
      throw ApiError{400, message("The call holds more than ", limits_.max_images, " images."), path,
                     "too_many_images"};
    }
  }

  // Sides that no server takes are left to the engine, which refuses them as it does those of a file.
  MessagePart read_size(const Fields& part, const std::string& role) {
    count_image(role, part.path("type"));
    const auto side = [&](std::string_view name) {
      const auto value = part.integer(name, 1, kMany);
      if (value) return *value;
      throw ApiError{400, message("'", part.path(name), "' is missing."), part.path(name),
                     "missing_required_parameter"};
    };
    MessagePart out;
    const int64_t width = side("width");
    out.size = {width, side("height")};
    out.rule = read_rule(part);
    return out;
  }

  static ImageRule read_rule(const Fields& fields) {
    ImageRule rule;
    const std::string_view detail = fields.string("detail").value_or("auto");
    if (detail == "low") {
      rule.detail = ImageDetail::low;
    } else if (detail == "high") {
      rule.detail = ImageDetail::high;
    } else if (detail != "auto") {
      throw ApiError{400, message("'", fields.path("detail"), "' must be low, high or auto."),
                     fields.path("detail"), "invalid_value"};
    }
    rule.max_slices = static_cast<int>(fields.integer("max_slices", 1, kMany).value_or(0));
    return rule;
  }

  MessagePart read_image(const Fields& part, const std::string& role) {
    const std::string path = part.path("image_url");
    count_image(role, path);
    const json::value* holder = part.find("image_url");
    if (holder == nullptr) {
      throw ApiError{400, message("'", path, "' is missing."), path, "missing_required_parameter"};
    }
    if (holder->is_string()) return decode(to_text(*holder, path), path);
    if (!holder->is_object()) throw_bad_field(path, "an object with a url", *holder);
    const Fields inner(holder->get_object(), path + ".");
    known_.check(kImageUrlFields, holder->get_object(), path + ".");
    const ImageRule rule = read_rule(inner);
    const auto url = inner.string("url");
    if (!url) {
      throw ApiError{400, message("'", path, ".url' is missing."), path + ".url",
                     "missing_required_parameter"};
    }
    MessagePart out = decode(*url, path + ".url");
    out.rule = rule;
    return out;
  }

  // A file or remote image is read once, however often the call names it.
  MessagePart decode(std::string_view url, const std::string& path) {
    const bool file = !limits_.image_directory.empty() && is_file_url(url);
    const bool remote = !limits_.image_hosts.empty() && is_remote_url(url);
    if (!file && !remote) return {.image = held(decode_image_url(url, limits_.max_image_bytes), path)};
    auto& image = outside_[std::string(url)];
    if (image == nullptr) {
      image = held(file ? read_image_file(url, limits_.image_directory, limits_.max_image_bytes, intake_.take)
                        : fetch_image(url, limits_, fetched_by(), intake_),
                   path);
    }
    return {.image = image};
  }

  // All images of a call are fetched by one time.
  TimePoint fetched_by() {
    if (!fetched_by_) fetched_by_ = Clock::now() + from_seconds(limits_.image_timeout_s);
    return *fetched_by_;
  }

  static std::shared_ptr<const std::string> held(std::variant<std::string, ApiError> bytes,
                                                 const std::string& path) {
    if (auto* error = std::get_if<ApiError>(&bytes)) {
      error->param = path;
      throw std::move(*error);
    }
    return std::make_shared<const std::string>(std::get<std::string>(std::move(bytes)));
  }

  const ModelInfo& model_;
  const NetOptions& limits_;
  const bool sizes_;
  FieldCheck& known_;
  const ImageIntake& intake_;
  std::map<std::string, std::shared_ptr<const std::string>> outside_;  // by URL: read from files, or fetched
  std::optional<TimePoint> fetched_by_;
  int images_ = 0;
  size_t parts_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace

std::vector<Message> read_messages(const Fields& call, const ModelInfo& model, const NetOptions& limits,
                                   bool sizes, FieldCheck& known, const ImageIntake& intake) {
  return Conversation(model, limits, sizes, known, intake).read(call);
}

void check_text_bytes(size_t bytes, const ModelInfo& model, const std::string& path) {
  if (model.max_text_bytes == 0 || static_cast<int64_t>(bytes) <= model.max_text_bytes) return;
  throw ApiError{400,
                 message("The context holds ", model.context_length, " tokens, but the text has more than ",
                         model.max_text_bytes, " bytes, which are more tokens in any case."),
                 path, "context_length_exceeded"};
}

}  // namespace uhd
