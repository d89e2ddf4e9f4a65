;;; session.el --- A session with a policy in Emacs -*- lexical-binding: t; -*-

;; As somebody has it who uses seawall.el: the findings appear, a name is completed and
;; renamed, the file is formatted. Run it with
;;     emacs --batch -Q -L . -l session.el
;; It prints what it saw, and fails where that is not what it should be.

;;; Code:

(require 'seawall)
(require 'seq)
(require 'subr-x)

(defvar session-policy "host {
external = [\"eth0\"]
  unlisted = \"deny\"
}
set \"office\" { sources = [\"192.0.2.0/24\"] }
policy \"web\" {
  ports = [443]
  allow { sources = set.ofice }
}
")

(defun session-say (what text)
  "Print WHAT was seen: TEXT."
  (princ (format "%s: %s\n" what text)))

(defun session-eventually (what f)
  "Wait until F returns something, and return it; WHAT is what it is."
  (let ((late (+ (float-time) 20)) got)
    (while (not (or (setq got (funcall f)) (> (float-time) late)))
      (accept-process-output nil 0.05))
    (or got (error "%s did not come within twenty seconds" what))))

(defun session-diagnostic (wanted)
  "Wait for a diagnostic with the text WANTED."
  (session-eventually
   (concat "a diagnostic with " wanted)
   (lambda ()
     (flymake-start)
     (seq-find (lambda (d) (string-search wanted (flymake-diagnostic-text d))) (flymake-diagnostics)))))

(defun session-words (text)
  "Return TEXT in one line."
  (string-join (split-string text) " "))

(let* ((dir (make-temp-file "seawall" t))
       (file (expand-file-name "policy.hcl" dir)))
  (with-temp-file file (insert session-policy))
  (find-file file)
  (session-say "mode" major-mode)
  (run-hooks 'post-command-hook) ; a batch has no commands after which Emacs would do so
  (session-say "server" (plist-get (eglot--server-info
                                    (session-eventually "the server" #'eglot-current-server))
                                   :name))

  (let ((d (session-diagnostic "No such set")))
    (session-say "diagnostic" (format "line %d: %s" (line-number-at-pos (flymake-diagnostic-beg d))
                                      (session-words (flymake-diagnostic-text d)))))

  ;; Complete set. in the place of the mistyped name.
  (goto-char (point-min))
  (search-forward "set.ofice")
  (delete-char (- (length "ofice")))
  (let* ((found (eglot-completion-at-point))
         (names (mapcar #'substring-no-properties (all-completions "" (nth 2 found)))))
    (session-say "completion" (string-join names " "))
    (unless (equal names '("office"))
      (error "The completion is another"))
    (insert (car names)))
  (eglot--signal-textDocument/didChange) ; a batch is never idle, which is when Eglot would do so
  (session-say "finding" (session-words (flymake-diagnostic-text (session-diagnostic "SW008"))))

  ;; What the policy means.
  (goto-char (point-min))
  (search-forward "\"web")
  (session-say "hover"
               (session-words
                (plist-get (plist-get (jsonrpc-request (eglot-current-server) :textDocument/hover
                                                       (eglot--TextDocumentPositionParams))
                                      :contents)
                           :value)))

  ;; Rename the set, and format the file.
  (goto-char (point-min))
  (search-forward "\"off")
  (eglot-rename "bureau")
  (eglot-format-buffer)
  (princ (buffer-substring-no-properties (point-min) (point-max)))
  (set-buffer-modified-p nil)
  (eglot-shutdown (eglot-current-server))
  (delete-directory dir t))

;;; session.el ends here
