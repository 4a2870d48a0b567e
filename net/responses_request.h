// Reads a call of /v1/responses as the call of /v1/chat/completions that asks the same. Only the .cc files of
// net/ may include this header.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "net/api_error.h"
#include "net/field_check.h"

namespace uhd {

struct ChatForm {
  boost::json::object chat;  // the same call in the form of a chat
  std::string echo;          // a JSON object: what the answer repeats of the call
  // Paths in the chat, and what they are in the call: a message, and behind it the calls within it.
  std::vector<std::pair<std::string, std::string>> origins;

  // Names the fields of the call in an error about the chat.
  ApiError told(ApiError error) const;
};

// The fields of `call` itself were checked before.
ChatForm chat_of_responses(const boost::json::object& call, FieldCheck& known);

}  // namespace uhd
