;;; seawall.el --- Seawall policies with Eglot -*- lexical-binding: t; -*-

;; Emacs 29 or later, whose Eglot starts `seawall lsp'. Put this file into your
;; load-path and (require 'seawall) into your init file. M-x eglot-rename,
;; M-x eglot-format-buffer, M-. and M-? work as they do for other languages.

;;; Code:

(require 'eglot)

(defgroup seawall nil
  "Policies for the published ports of Docker hosts."
  :group 'languages)

(defcustom seawall-var-files nil
  "Variable files with which policies are read, relative to the project."
  :type '(repeat file))

(defvar seawall-mode-font-lock
  `((,(rx bol (* space)
          (group (or "host" "variable" "locals" "set" "guard" "policy" "allow" "deny" "forward" "test" "validation" "dynamic" "content"))
          symbol-end)
     (1 font-lock-keyword-face))
    (,(rx bol (* space) (group (+ (any "a-z_"))) (* space) "=") (1 font-lock-variable-name-face))
    (,(rx symbol-start (or "any" "true" "false" "null") symbol-end) . font-lock-constant-face)
    (,(rx symbol-start (group (or "set" "var" "local" "each")) ".") (1 font-lock-builtin-face))))

;;;###autoload
(define-derived-mode seawall-mode prog-mode "Seawall"
  "Mode for Seawall policies."
  (setq-local comment-start "# "
              indent-tabs-mode nil
              font-lock-defaults '(seawall-mode-font-lock))
  (modify-syntax-entry ?# "<" seawall-mode-syntax-table)
  (modify-syntax-entry ?\n ">" seawall-mode-syntax-table)
  (modify-syntax-entry ?_ "_" seawall-mode-syntax-table))

(add-to-list 'auto-mode-alist '("/policies?/[^/]*\\.hcl\\'" . seawall-mode))
(add-to-list 'auto-mode-alist '("policy\\.hcl\\'" . seawall-mode))

(add-to-list 'eglot-server-programs
             `(seawall-mode . ,(lambda (&rest _)
                                 `("seawall" "lsp" :initializationOptions
                                   (:varFiles ,(vconcat seawall-var-files))))))

(add-hook 'seawall-mode-hook #'eglot-ensure)

(provide 'seawall)
;;; seawall.el ends here
