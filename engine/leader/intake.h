// From what a client asks to what the engine will do: checks, slice plans, the exact prompt. Runs on the
// calling thread, before any work; a fault is a Failure, never an exception.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/cost.h"
#include "engine/options.h"
#include "engine/request.h"
#include "engine/request_plan.h"
#include "model/prompt.h"
#include "model/vision/slicer.h"

namespace uhd {

// One image of a request: its bytes, and how it will be cut.
struct PlannedImage {
  std::shared_ptr<const std::string> bytes;  // null where only the size is known
  SlicePlan plan;
  ImageReport report;
};

struct PlannedRequest {
  Prompt prompt;
  std::vector<PlannedImage> images;
  int64_t patches = 0;                     // patches of all pieces
  int image_tokens = 0;                    // separators included
  int scored = 0;                          // tokens of the prompt whose log-probabilities are wanted
  int64_t score_bytes = 0;                 // bytes that the scored tokens take, as all answers tell them
  int max_tokens = 0;                      // tokens of an answer, as far as the context has room
  bool thinking = false;                   // the prompt ends behind <think>
  std::shared_ptr<const Grammar> grammar;  // the compiled grammar that answers follow; null: none
};

// Returns the work of so many answers if nothing is cached.
Work work_of(const PlannedRequest& planned, int answers);

// These bound one request besides the options.
struct IntakeLimits {
  int context = 0;      // tokens, prompt and answer
  int visual_rows = 0;  // the most rows of one request: what the visual store holds
};

// Immutable after construction; thread-safe.
class Intake {
 public:
  // `images_first`: the images of a turn go before its texts.
  Intake(const ModelConfig& model, std::shared_ptr<const Tokenizer> tokenizer,
         std::shared_ptr<const ChatTemplate> chat, const ImageOptions& images, bool images_first,
         IntakeLimits limits)
      : model_(model),
        tokenizer_(std::move(tokenizer)),
        chat_(std::move(chat)),
        images_(images),
        images_first_(images_first),
        limits_(limits) {}

  // The request as it will run; or the reason why it cannot.
  std::variant<PlannedRequest, Failure> plan(const Request& request) const;
  // Lays out a request that is only looked at: its images may be sizes, and it may be too long.
  std::variant<PlannedRequest, Failure> lay_out(const Request& request) const;
  // Refuses what has no room in the context: at least one token of the answer must fit.
  std::optional<Failure> check_lengths(const Request& request, const PlannedRequest& planned) const;
  // Sizes, tokens and pages of what was laid out.
  RequestPlan describe(const PlannedRequest& planned, int page_size) const;
  // A text of more bytes is not looked at: it has more tokens than the context, by the longest token of the
  // vocabulary, or by a generous one where texts are shortened before they are tokenised.
  int64_t max_text_bytes() const;

 private:
  std::variant<std::vector<PlannedImage>, Failure> plan_images(const Request& request) const;
  std::variant<PlannedImage, Failure> plan_image(const MessagePart& part) const;
  SlicingConfig slicing_of(const ImageRule& rule) const;
  PiecePlan piece_plan(const SlicePlan& plan, int index) const;
  std::variant<Prompt, Failure> make_prompt(const Request& request,
                                            const std::vector<PlannedImage>& images) const;
  // Cuts the beginning of a prompt that is longer than asked, but for the tokens that every text begins with.
  std::optional<Failure> truncate(const Request& request, Prompt& prompt) const;
  // A tokenizer may have tokens that the model has no embedding for.
  bool ends_in_thoughts(const Prompt& prompt) const;
  std::optional<Failure> check_ids(const Prompt& prompt) const;
  // Refuses, before the template and the tokenizer see it, a prompt whose size alone says that it cannot fit.
  std::optional<Failure> check_size(const Request& request) const;
  std::optional<Failure> check_bytes(int64_t bytes) const;
  void set_lengths(const Request& request, PlannedRequest& planned) const;
  void set_scored(const Request& request, PlannedRequest& planned) const;

  ModelConfig model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> chat_;
  ImageOptions images_;
  bool images_first_;
  IntakeLimits limits_;
};

// Ranges of every number in the request; nothing if they hold.
std::optional<Failure> check_request(const Request& request, int vocabulary);

}  // namespace uhd
