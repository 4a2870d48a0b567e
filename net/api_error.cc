#include "net/api_error.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "net/quoted.h"

namespace uhd {
namespace {

constexpr size_t kMostMessage = 2000;

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

int status_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::invalid:
      return 400;
    case FailureKind::too_large:
      return 413;
    case FailureKind::busy:
      return 429;
    case FailureKind::unavailable:
      return 503;
    case FailureKind::internal:
      break;
  }
  return 500;
}

// The engine refuses what only shows once a call is laid out, with these codes.
std::string place_of(const Failure& failure, const FieldPlaces& places) {
  if (failure.image) {
    const auto image = static_cast<size_t>(*failure.image);
    return image < places.images.size() ? places.images[image] : "";
  }
  const auto is_one_of = [&](std::initializer_list<std::string_view> codes) {
    return std::ranges::find(codes, failure.code) != codes.end();
  };
  if (is_one_of({"invalid_grammar", "not_implemented"})) return places.rule;
  if (is_one_of({"too_many_logprobs"})) return places.scores;
  const bool whole = is_one_of({"context_length_exceeded", "empty_request", "invalid_conversation",
                                "invalid_token", "too_many_visual_tokens"});
  return whole ? places.prompt : "";
}

boost::json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return boost::json::string(text);
}

}  // namespace

ApiError api_error(const Failure& failure, const FieldPlaces& places) {
  return {status_of(failure.kind), failure.message, place_of(failure, places), failure.code,
          failure.retry_after_s,   failure.again_s};
}

// Texts of others (a template's, an engine's) may quote anything that a client wrote.
std::string error_json(const ApiError& error) {
  return boost::json::serialize(
      boost::json::object{{"error", boost::json::object{{"message", uhd::quoted(error.message, kMostMessage)},
                                                        {"type", type_of(error.status)},
                                                        {"param", text_or_null(uhd::quoted(error.param))},
                                                        {"code", text_or_null(error.code)}}}});
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = error_json(error), .error_code = error.code};
  if (error.status == 429 || error.status == 503) {
    const double wait = std::max(1.0, std::ceil(error.retry_after_s));
    response.headers.emplace_back("Retry-After", std::to_string(static_cast<int64_t>(wait)));
  }
  return response;
}

}  // namespace uhd
