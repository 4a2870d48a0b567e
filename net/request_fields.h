// The list of every field of a request body that OpenAI, vLLM, SGLang, llama.cpp or Ollama know, and what
// this server does with each: nothing is ignored in silence. The reader of requests, /openapi.json and the
// tables of docs/api.md all follow this one list.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

// A FieldUse says how a field is treated. `honoured`: it is read, and a wrong value is refused. `accepted`:
// it cannot change the answer, so it is taken if its type is right, and nothing follows from it. `refused`:
// dropping it could change the answer, so it is an error, except with a value that asks for nothing.
enum class FieldUse : uint8_t { honoured, accepted, refused };

// The objects that have fields, as bits of a set.
enum FieldObject : uint32_t {
  kChatFields = 1,
  kCompletionsFields = 2,
  kPlanFields = 4,
  kTokenizeFields = 8,
  kDetokenizeFields = 16,
  kStreamOptionsFields = 32,
  kResponseFormatFields = 64,
  kMessageFields = 128,
  kTextPartFields = 256,
  kImagePartFields = 512,
  kSizePartFields = 1024,
  kImageUrlFields = 2048,
  kStructuredFields = 4096,  // structured_outputs
  kJsonSchemaFields = 8192,  // response_format.json_schema
  kToolFields = 1 << 14,
  kFunctionFields = 1 << 15,  // the function of a tool
  kToolCallFields = 1 << 16,
  kCalledFields = 1 << 17,  // the function of a call
  kChosenFields = 1 << 18,  // the function of tool_choice
  kResponsesFields = 1 << 19,
  kInputItemFields = 1 << 20,   // an item of the input of responses
  kInputPartFields = 1 << 21,   // a part of such an item
  kTextFields = 1 << 22,        // the text of responses
  kTextFormatFields = 1 << 23,  // the format of that text
  kFlatToolFields = 1 << 24,    // a tool as responses have it
};

struct RequestField {
  std::string_view name;
  uint32_t objects;  // a set of FieldObject
  FieldUse use;
  std::string_view types;    // types of JSON Schema, separated by '|'
  std::string_view example;  // JSON: a value that has an effect, or is refused
  std::string_view neutral;  // JSON, for refused fields: an array of the values that ask for nothing
  std::string_view text;     // its effect, or the reason of a refusal
};

// All fields: honoured, accepted, refused; each group by name. null is the same as an absent field
// everywhere.
std::span<const RequestField> request_fields();

// Returns the field of this name in this object, or null.
const RequestField* find_request_field(FieldObject object, std::string_view name);
// Returns the name in this object that is spelt most alike; empty if none is like it.
std::string_view nearest_request_field(FieldObject object, std::string_view name);

// Returns the names of the JSON types that a field takes; and the same as a text, "string or array".
std::vector<std::string_view> types_of(const RequestField& field);
std::string types_text(const RequestField& field);

// Returns the object's name as docs and /openapi.json call it.
std::string_view name_of(FieldObject object);

// Writes the part of docs/api.md that says what becomes of each field, as Markdown.
std::string request_fields_page();

}  // namespace uhd
