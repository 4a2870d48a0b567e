// Reads bodies of the API. The first byte chooses the endpoint.
#include "net/openai.h"
#include "tests/fuzz/targets.h"

namespace uhd {
namespace {

const ModelInfo kModel{.id = "fake",
                       .family = "llava-uhd-v1",
                       .vision = true,
                       .context_length = 2048,
                       .vocabulary = 1000,
                       .max_text_bytes = 1 << 14,
                       .template_variables = {"enable_thinking"},
                       .thinks = true,
                       .tools = ToolForm::hermes};
const NetOptions kLimits{
    .max_choices = 4, .max_messages = 8, .max_json_values = 10'000, .max_images = 2, .max_image_bytes = 4096};

void check_call(const Call& call) {
  must_hold(!call.requests.empty(), "a call has no request");
  int64_t choices = 0;
  for (const Request& request : call.requests) {
    choices += request.n;
    must_hold(request.n >= 1, "a request has no answer");
    must_hold(request.sampling.temperature >= 0 && request.sampling.temperature <= 100, "temperature");
    must_hold(request.sampling.top_p >= 0 && request.sampling.top_p <= 1, "top_p");
    must_hold(request.stop.max_tokens >= 0, "max_tokens");
  }
  must_hold(choices <= kLimits.max_choices, "a call has too many choices");
}
void check_call(const TokenizeCall&) {}
void check_call(const DetokenizeCall& call) {
  for (const int32_t id : call.ids) must_hold(id >= 0 && id < kModel.vocabulary, "an id is out of range");
}

template <class Result>
bool takes(const Result& result) {
  if (const auto* error = std::get_if<ApiError>(&result)) {
    must_hold(error->status >= 400 && error->status < 500, "a body is not the client's fault");
    return false;
  }
  check_call(std::get<0>(result));
  return true;
}

}  // namespace

bool fuzz_request(std::string_view bytes) {
  if (bytes.empty()) return false;
  const std::string_view body = bytes.substr(1);
  switch (bytes[0] % 6) {
    case 0:
      return takes(parse_call(Endpoint::chat, body, kModel, kLimits));
    case 1:
      return takes(parse_call(Endpoint::completions, body, kModel, kLimits));
    case 2:
      return takes(parse_call(Endpoint::plan, body, kModel, kLimits));
    case 3:
      return takes(parse_call(Endpoint::responses, body, kModel, kLimits));
    case 4:
      return takes(parse_tokenize(body, kModel, kLimits));
    default:
      return takes(parse_detokenize(body, kModel, kLimits));
  }
}

}  // namespace uhd
